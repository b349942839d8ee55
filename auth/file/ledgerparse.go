package file

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/shoalmq/shoal/auth/acl"
)

// ledger is what a ledger or blacklist.yml says.
type ledger struct {
	users map[string]*ledgerUser
	auth  []ledgerAuth
	acl   []ledgerACL
}

// match is a text that matches others: all if it is empty or "*"; those that begin alike and are
// longer, if it has a '*' behind; itself.
type match string

func (m match) matches(s string) bool {
	if m == "" || m == "*" || string(m) == s {
		return true
	}
	i := strings.IndexByte(string(m), '*')
	return i > 0 && len(s) > i && s[:i] == string(m[:i])
}

// matchesSecret is matches in a time that depends on the lengths only.
func (m match) matchesSecret(s []byte) bool {
	if m == "" || m == "*" {
		return true
	}
	if i := strings.IndexByte(string(m), '*'); i > 0 {
		return len(s) > i && subtle.ConstantTimeCompare(s[:i], []byte(m[:i])) == 1
	}
	return subtle.ConstantTimeCompare(s, []byte(m)) == 1
}

type ledgerClient struct {
	Client   match `json:"client"`
	Username match `json:"username"`
	Remote   match `json:"remote"`
}

func (c *ledgerClient) matches(client, username, remote string) bool {
	return c.Client.matches(client) && c.Username.matches(username) && c.Remote.matches(remote)
}

type ledgerAuth struct {
	ledgerClient
	Password match `json:"password"`
	Allow    bool  `json:"allow"`
}

type ledgerACL struct {
	ledgerClient
	Filters map[string]int `json:"filters"`

	access *acl.Access
}

type ledgerUser struct {
	Username string         `json:"username"` // said again
	Password match          `json:"password"`
	ACL      map[string]int `json:"acl"`
	Disallow bool           `json:"disallow"`

	access *acl.Access
}

// parseLedger reads YAML, or JSON if the first byte is a brace.
func parseLedger(path string, data []byte, blacklist bool) (*ledger, error) {
	l := new(ledger)
	var err error
	if data = bytes.TrimSpace(data); bytes.HasPrefix(data, []byte("{")) {
		err = l.readJSON(path, data)
	} else {
		err = l.readYAML(path, data)
	}
	if err != nil {
		return nil, err
	}
	return l, l.compile(path, blacklist)
}

func (l *ledger) readJSON(path string, data []byte) error {
	var doc struct {
		Users map[string]*ledgerUser `json:"users"`
		Auth  []ledgerAuth           `json:"auth"`
		ACL   []ledgerACL            `json:"acl"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		before := data[:min(int(d.InputOffset()), len(data))]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len(before) - bytes.LastIndexByte(before, '\n')
		return fmt.Errorf("%s:%d:%d: %w", path, line, column, err)
	}
	if d.More() {
		return fmt.Errorf("%s: something follows the object", path)
	}
	for name, u := range doc.Users {
		if u == nil {
			return fmt.Errorf("%s: users.%s is null", path, name)
		}
	}
	l.users, l.auth, l.acl = doc.Users, doc.Auth, doc.ACL
	return nil
}

func (l *ledger) readYAML(path string, data []byte) error {
	d := &document{path: path}
	l.users = make(map[string]*ledgerUser)
	root := d.parse(data)
	d.mapping(root, "", field{
		"users": func(n *yaml.Node, path string) {
			d.each(n, path, func(key string, _, v *yaml.Node, path string) {
				u := new(ledgerUser)
				d.mapping(v, path, field{
					"username": d.text(&u.Username), "password": d.text((*string)(&u.Password)),
					"acl": d.numbers(&u.ACL), "disallow": d.boolean(&u.Disallow),
				})
				l.users[key] = u
			})
		},
		"auth": func(n *yaml.Node, path string) {
			d.sequence(n, path, func(n *yaml.Node, path string) {
				var a ledgerAuth
				fields := d.clientFields(&a.ledgerClient)
				fields["password"], fields["allow"] = d.text((*string)(&a.Password)), d.boolean(&a.Allow)
				d.mapping(n, path, fields)
				l.auth = append(l.auth, a)
			})
		},
		"acl": func(n *yaml.Node, path string) {
			d.sequence(n, path, func(n *yaml.Node, path string) {
				var a ledgerACL
				fields := d.clientFields(&a.ledgerClient)
				fields["filters"] = d.numbers(&a.Filters)
				d.mapping(n, path, fields)
				l.acl = append(l.acl, a)
			})
		},
	})
	return d.err()
}

func (d *document) clientFields(c *ledgerClient) field {
	return field{
		"client": d.text((*string)(&c.Client)), "username": d.text((*string)(&c.Username)),
		"remote": d.text((*string)(&c.Remote)),
	}
}

// numbers reads filters and their access numbers.
func (d *document) numbers(to *map[string]int) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		*to = make(map[string]int)
		d.each(n, path, func(key string, k, v *yaml.Node, path string) {
			access, ok := d.integer(v, path)
			if !ok {
				return
			}
			rules, err := acl.FromNumber(acl.LongestWins, escaped(key), access)
			if err == nil {
				_, err = acl.Compile(acl.LongestWins, rules)
			}
			if err != nil {
				d.wrong(k, path, "%v", err)
			}
			(*to)[key] = access
		})
	}
}

// escaped is a filter in which nothing is a placeholder: ledgers have none.
func escaped(filter string) string { return strings.ReplaceAll(filter, "%", "%%") }

// compile makes lists of the filters. In a blacklist and for users the longest that matches decides;
// in a rule of a ledger, one that grants does before all that do not.
func (l *ledger) compile(path string, blacklist bool) error {
	var errs []error
	numbers := func(filters map[string]int, granting bool) *acl.Access {
		order := acl.LongestWins
		var grants, denials []acl.Rule
		for filter, access := range filters {
			rules, err := acl.FromNumber(order, escaped(filter), access)
			errs = append(errs, err)
			for _, r := range rules {
				if r.Effect == acl.Allow {
					grants = append(grants, r)
				} else {
					denials = append(denials, r)
				}
			}
		}
		if granting {
			order = acl.AsWritten
		}
		list, err := acl.Compile(order, append(grants, denials...))
		errs = append(errs, err)
		return list.For(acl.Client{})
	}
	for _, u := range l.users {
		u.access = numbers(u.ACL, false)
	}
	for i := range l.acl {
		l.acl[i].access = numbers(l.acl[i].Filters, !blacklist)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
