package ldap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
)

// Config is what New takes.
type Config struct {
	// URL is ldap://host:389, ldaps://host:636 or ldapi:///path. Required.
	URL string
	// StartTLS turns TLS on after connecting by ldap://.
	StartTLS bool
	// TLS has the authorities of the server. Default: the system's.
	TLS *tls.Config
	// BindDN and BindPassword are whom searches are made as. Default: anonymous.
	BindDN, BindPassword string
	// BaseDN is where users are searched, with all below. Required.
	BaseDN string
	// UserFilter finds the entry of a user; ${name} is the name, escaped. Default
	// "(uid=${name})".
	UserFilter string
	// NameAttribute has the name that the principal gets. Default "uid".
	NameAttribute string
	// Attributes are further attributes of the entry, of which the first value becomes an attribute of
	// the client, by its name there. Default: none.
	Attributes map[string]string
	// GroupBaseDN is where groups are searched. Without it there are none.
	GroupBaseDN string
	// GroupFilter finds the groups of a user; ${dn} is its DN and ${name} its name, escaped. Default
	// "(|(member=${dn})(uniqueMember=${dn})(memberUid=${name}))".
	GroupFilter string
	// GroupAttribute has the name of a group. Default "cn".
	GroupAttribute string
	// Groups are the rules of groups, by their names.
	Groups map[string][]acl.Rule
	// Required is the name of a group whose members only may connect. Default: everybody.
	Required string
	// Superusers is the name of a group whose members may do everything. Default: none.
	Superusers string
	// MaxIdle is how many connections are kept. Default 8.
	MaxIdle int
	// Source says what is done with users and rules.
	Source source.Config
}

const defaultIdle = 8

// New makes an Authenticator, or says what is wrong with cfg.
func New(cfg Config) (*source.Authenticator, error) {
	for _, d := range []struct {
		to        *string
		otherwise string
	}{
		{&cfg.UserFilter, "(uid=${name})"},
		{&cfg.NameAttribute, "uid"},
		{&cfg.GroupAttribute, "cn"},
		{&cfg.GroupFilter, "(|(member=${dn})(uniqueMember=${dn})(memberUid=${name}))"},
		{&cfg.Source.Name, "ldap"},
	} {
		if *d.to == "" {
			*d.to = d.otherwise
		}
	}
	if cfg.MaxIdle <= 0 {
		cfg.MaxIdle = defaultIdle
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d := &directory{cfg: cfg, groups: make(map[string]*acl.List), idle: make(chan *conn, cfg.MaxIdle)}
	for _, name := range slices.Sorted(maps.Keys(cfg.Groups)) {
		list, err := acl.Compile(cfg.Source.Order, cfg.Groups[name])
		if err != nil {
			return nil, fmt.Errorf("ldap: Config.Groups[%q]: %w", name, err)
		}
		d.groups[name] = list
	}
	return source.New(d, cfg.Source)
}

func (c *Config) check() error {
	var errs []error
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || !slices.Contains([]string{"ldap", "ldaps", "ldapi"}, u.Scheme):
		errs = append(errs, errors.New("ldap: Config.URL must be ldap://host:389 or ldaps://host:636"))
	case c.StartTLS && u.Scheme != "ldap":
		errs = append(errs, errors.New("ldap: Config.StartTLS is for ldap:// URLs"))
	}
	if c.BindDN != "" && c.BindPassword == "" {
		errs = append(errs, errors.New("ldap: Config.BindPassword is empty; "+
			"a directory takes a bind without a password for an anonymous one"))
	}
	for field, dn := range map[string]string{"BaseDN": c.BaseDN, "GroupBaseDN": c.GroupBaseDN, "BindDN": c.BindDN} {
		if _, err := ldap.ParseDN(dn); err != nil {
			errs = append(errs, fmt.Errorf("ldap: Config.%s %q: %w", field, dn, err))
		}
	}
	if c.BaseDN == "" {
		errs = append(errs, errors.New("ldap: Config.BaseDN is empty"))
	}
	if c.GroupBaseDN == "" && (len(c.Groups) > 0 || c.Required != "" || c.Superusers != "") {
		errs = append(errs, errors.New("ldap: Config.Groups, Required and Superusers need GroupBaseDN"))
	}
	if !strings.Contains(c.UserFilter, "${name}") {
		errs = append(errs, errors.New("ldap: Config.UserFilter must have ${name}"))
	}
	for field, text := range map[string]string{"UserFilter": c.UserFilter, "GroupFilter": c.GroupFilter} {
		if _, err := ldap.CompileFilter(filter(text, "x", "cn=x")); err != nil {
			errs = append(errs, fmt.Errorf("ldap: Config.%s: %w", field, err))
		}
	}
	return errors.Join(errs...)
}

// filter puts a name and a DN into a filter, each once and escaped.
func filter(template, name, dn string) string {
	return strings.NewReplacer("${name}", ldap.EscapeFilter(name), "${dn}", ldap.EscapeFilter(dn)).Replace(template)
}
