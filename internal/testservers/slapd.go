package testservers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The directory that Slapd serves.
const (
	LDAPSuffix        = "dc=example,dc=com"
	LDAPAdmin         = "cn=admin," + LDAPSuffix
	LDAPAdminPassword = "admin-secret"
)

// Slapd starts an OpenLDAP server that serves LDAPSuffix with the entries of an LDIF text. more are
// further lines of slapd.conf, before its database.
func Slapd(t testing.TB, ldif string, more ...string) *Server {
	t.Helper()
	s := newServer(t, "slapd", "/usr/sbin/slapd")
	schema := "/etc/ldap/schema"
	if _, err := os.Stat(schema); err != nil {
		schema = "/etc/openldap/schema"
	}
	dir := t.TempDir()
	conf := ""
	for _, name := range []string{"core", "cosine", "inetorgperson"} {
		conf += fmt.Sprintf("include %s/%s.schema\n", schema, name)
	}
	conf += fmt.Sprintf("pidfile %s/pid\nargsfile %s/args\n", dir, dir)
	if modules := "/usr/lib/ldap"; exists(modules) {
		conf += "modulepath " + modules + "\nmoduleload back_mdb\n"
	}
	for _, line := range more {
		conf += line + "\n"
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	conf += fmt.Sprintf("database mdb\nsuffix %q\nrootdn %q\nrootpw %s\ndirectory %s\nindex uid eq\n",
		LDAPSuffix, LDAPAdmin, LDAPAdminPassword, data)
	file := writeFile(t, "slapd.conf", conf)
	run(t, nil, program(t, "slapadd", "/usr/sbin/slapadd"), "-f", file, "-l", writeFile(t, "init.ldif", ldif))
	s.args = []string{"-f", file, "-h", "ldap://" + s.Addr(), "-d", "0"}
	s.begin()
	return s
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
