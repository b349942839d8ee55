package ldap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
)

// directory is a source.Source.
type directory struct {
	cfg    Config
	groups map[string]*acl.List
	idle   chan *conn
}

var (
	_ source.Source = (*directory)(nil)
	_ io.Closer     = (*directory)(nil)
)

// longestName is how many bytes of a name are searched for.
const longestName = 1024

// User implements source.Source.
func (d *directory) User(ctx context.Context, q *source.Query) (u *source.User, err error) {
	given := string(q.Credentials.Password)
	if given == "" { // would be an anonymous bind, which succeeds
		return nil, source.ErrRefused
	}
	err = d.with(ctx, func(c *conn) error {
		u, err = d.login(c, q.Name, given)
		return err
	})
	return u, err
}

func (d *directory) login(c *conn, name, given string) (*source.User, error) {
	e, err := d.entry(c, name)
	if err != nil {
		return nil, err
	}
	u := &source.User{Verified: true, Name: d.name(e, name)}
	for attribute, of := range d.cfg.Attributes {
		if value := e.GetAttributeValue(of); value != "" {
			if u.Attributes == nil {
				u.Attributes = make(map[string]string)
			}
			u.Attributes[attribute] = value
		}
	}
	if d.cfg.Required != "" || d.cfg.Superusers != "" {
		groups, err := d.groupsOf(c, e.DN, u.Name)
		if err != nil {
			return nil, err
		}
		u.Disabled = d.cfg.Required != "" && !slices.Contains(groups, d.cfg.Required)
		u.Superuser = d.cfg.Superusers != "" && slices.Contains(groups, d.cfg.Superusers)
	}
	c.as = "" // whoever it is now
	err = c.Bind(e.DN, given)
	var result *ldap.Error
	switch {
	case err == nil:
		return u, nil
	case errors.As(err, &result) && refuses(result.ResultCode):
		return nil, source.ErrRefused
	}
	return nil, fmt.Errorf("ldap: %s: bind as a user: %w", d.cfg.URL, err)
}

// refuses tells what a directory says of a user from what it says of itself.
func refuses(code uint16) bool {
	switch code {
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultOperationsError,
		ldap.LDAPResultProtocolError, ldap.LDAPResultOther:
		return false
	}
	return code < ldap.ErrorNetwork // the library's own come from there on
}

// entry searches the entry of a user, as the service.
func (d *directory) entry(c *conn, name string) (*ldap.Entry, error) {
	if len(name) > longestName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return nil, source.ErrUnknownUser
	}
	if err := d.service(c); err != nil {
		return nil, err
	}
	attributes := []string{d.cfg.NameAttribute}
	for _, of := range d.cfg.Attributes {
		attributes = append(attributes, of)
	}
	// Two, to know whether it is the only one.
	r := ldap.NewSearchRequest(d.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
		filter(d.cfg.UserFilter, name, ""), attributes, nil)
	found, err := c.Search(r)
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded), err == nil && len(found.Entries) > 1:
		return nil, fmt.Errorf("%w: ldap: Config.UserFilter finds several entries", source.ErrMalformed)
	case err != nil:
		return nil, fmt.Errorf("ldap: %s: search below Config.BaseDN %s: %w", d.cfg.URL, d.cfg.BaseDN, err)
	case len(found.Entries) == 0:
		return nil, source.ErrUnknownUser
	}
	return found.Entries[0], nil
}

// name is what the entry is called, in its own spelling.
func (d *directory) name(e *ldap.Entry, asked string) string {
	names := e.GetAttributeValues(d.cfg.NameAttribute)
	if len(names) == 0 || slices.Contains(names, asked) {
		return asked
	}
	for _, n := range names {
		if strings.EqualFold(n, asked) {
			return n
		}
	}
	return names[0]
}

// groupsOf searches the names of a user's groups.
func (d *directory) groupsOf(c *conn, dn, name string) ([]string, error) {
	if d.cfg.GroupBaseDN == "" {
		return nil, nil
	}
	r := ldap.NewSearchRequest(d.cfg.GroupBaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		filter(d.cfg.GroupFilter, name, dn), []string{d.cfg.GroupAttribute}, nil)
	found, err := c.Search(r)
	if err != nil {
		return nil, fmt.Errorf("ldap: %s: search below Config.GroupBaseDN %s: %w", d.cfg.URL, d.cfg.GroupBaseDN, err)
	}
	var groups []string
	for _, e := range found.Entries {
		groups = append(groups, e.GetAttributeValues(d.cfg.GroupAttribute)...)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// Rules implements source.Source: those of the user's groups.
func (d *directory) Rules(ctx context.Context, s *source.Subject) (list *acl.List, err error) {
	if len(d.groups) == 0 || s.Name == "" {
		return nil, nil
	}
	err = d.with(ctx, func(c *conn) error {
		e, err := d.entry(c, s.Name)
		if errors.Is(err, source.ErrUnknownUser) {
			return nil
		}
		if err != nil {
			return err
		}
		groups, err := d.groupsOf(c, e.DN, s.Name)
		for _, g := range groups {
			list = list.Merge(d.groups[g])
		}
		return err
	})
	return list, err
}

// Check returns what is wrong with the connection, the service's bind or the search.
func (d *directory) Check(ctx context.Context) error {
	return d.with(ctx, func(c *conn) error {
		_, err := d.entry(c, "nobody")
		if errors.Is(err, source.ErrUnknownUser) {
			err = nil
		}
		return err
	})
}
