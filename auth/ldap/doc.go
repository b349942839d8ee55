// Package ldap authenticates clients by a directory (LDAP v3): it searches the entry of the user, binds
// as it with the password, and grants rights by groups.
//
//	a, err := ldap.New(ldap.Config{
//		URL:    "ldaps://directory.example.com",
//		BindDN: "cn=shoal,dc=example,dc=com", BindPassword: "secret",
//		BaseDN: "ou=people,dc=example,dc=com",
//		GroupBaseDN: "ou=groups,dc=example,dc=com",
//		Groups: map[string][]acl.Rule{"operators": {{Effect: acl.Allow, Filter: "plant/#"}}},
//	})
//	b, err := shoal.New(shoal.WithAuthenticator(a), …)
//
// The principal has the name that the entry has, in its spelling: directories find "ANN", too, if they
// have "ann". Values are escaped wherever they are put into filters. An empty password is refused before
// the directory is asked, which would take it for an anonymous bind (RFC 4513, 5.1.2).
//
// Rules are those of the client's groups, in the order of the groups' names, with the placeholders of
// package auth/acl; Source.Everybody has rules for all.
//
// New does no I/O. Connections are made when clients ask, kept, and made again after they broke.
package ldap
