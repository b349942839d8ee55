package file

import (
	"errors"
	"fmt"
	"strings"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/auth/source"
)

// lines calls fn with the lines of a file that are neither empty nor comments.
func lines(path string, data []byte, fn func(line string) error) error {
	var errs []error
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		if err := fn(line); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, number, err))
			if len(errs) == maxProblems {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// parseMosquittoPasswords reads a password_file: "user:hash" lines.
func parseMosquittoPasswords(path string, data []byte) (map[string]*user, error) {
	users := make(map[string]*user)
	err := lines(path, data, func(line string) error {
		// A hash has no colon, so that user names may.
		i := strings.LastIndexByte(line, ':')
		if i < 1 {
			return errors.New("the line must be user:hash")
		}
		name, hash := line[:i], strings.TrimSpace(line[i+1:])
		if _, err := password.Parse(hash); err != nil {
			return fmt.Errorf("user %q: %w", name, err)
		}
		if users[name] != nil {
			return fmt.Errorf("user %q is there twice", name)
		}
		users[name] = &user{user: source.User{Hash: hash}}
		return nil
	})
	return users, err
}

// mosquittoACL is an acl_file.
type mosquittoACL struct {
	anonymous []acl.Rule
	everybody []acl.Rule // by patterns
	users     map[string][]acl.Rule
}

// parseMosquittoACL reads an acl_file.
func parseMosquittoACL(path string, data []byte) (*mosquittoACL, error) {
	m := &mosquittoACL{users: make(map[string][]acl.Rule)}
	name, inUser := "", false
	err := lines(path, data, func(line string) error {
		word, rest := cutWord(line)
		switch word {
		case "user":
			if rest == "" {
				return errors.New("user wants a name")
			}
			name, inUser = rest, true
			return nil
		case "topic":
			r, err := mosquittoRule(rest, false)
			if err != nil {
				return err
			}
			if inUser {
				m.users[name] = append(m.users[name], r)
			} else {
				m.anonymous = append(m.anonymous, r)
			}
			return nil
		case "pattern":
			r, err := mosquittoRule(rest, true)
			m.everybody = append(m.everybody, r)
			return err
		}
		return fmt.Errorf("the line begins with %q; it must be user, topic or pattern", word)
	})
	return m, err
}

func cutWord(line string) (word, rest string) {
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], strings.TrimSpace(line[i:])
	}
	return line, ""
}

// mosquittoRule reads "[read|write|readwrite|deny] topic". Topics may contain spaces.
func mosquittoRule(text string, pattern bool) (acl.Rule, error) {
	r := acl.Rule{Effect: acl.Allow, Actions: acl.Both, Filter: text}
	switch word, rest := cutWord(text); word {
	case "read":
		r.Actions, r.Filter = acl.Subscribe, rest
	case "write":
		r.Actions, r.Filter = acl.Publish, rest
	case "readwrite":
		r.Filter = rest
	case "deny":
		r.Effect, r.Filter = acl.Deny, rest
	}
	if r.Filter == "" {
		return r, errors.New("a topic is missing")
	}
	r.Filter = strings.ReplaceAll(r.Filter, "%", "%%")
	if pattern { // which is where %u and %c mean something, and nothing else does
		r.Filter = strings.NewReplacer("%%u", "%u", "%%c", "%c").Replace(r.Filter)
	}
	_, err := acl.Compile(acl.DenyWins, []acl.Rule{r})
	return r, err
}

// withMosquittoACL puts users and an acl_file together. Without one everything is allowed.
func withMosquittoACL(users map[string]*user, m *mosquittoACL, anonymous bool) (*contents, error) {
	c := &contents{users: users, anonymous: anonymous, unruled: m == nil}
	if m == nil {
		return c, nil
	}
	var errs []error
	compile := func(rules ...acl.Rule) *acl.List {
		l, err := acl.Compile(acl.DenyWins, rules)
		errs = append(errs, err)
		return l
	}
	c.unknown = compile(m.everybody...)
	c.nameless = compile(append(m.anonymous, m.everybody...)...)
	for name, u := range users {
		u.rules = c.unknown
		if own := m.users[name]; len(own) > 0 {
			u.rules = compile(append(own, m.everybody...)...)
		}
	}
	return c, errors.Join(errs...)
}
