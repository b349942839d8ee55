package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
)

// AuthRedis is comqtt's auth-redis.yml.
type AuthRedis struct {
	RedisOptions RedisOptions `key:"redis-options"`
	AuthMode     int          `key:"auth-mode" doc:"0 anonymous, 1 user name, 2 client ID"`
	AuthPrefix   string       `key:"auth-prefix" default:"comqtt:auth" doc:"hash with the users"`
	ACLMode      int          `key:"acl-mode" doc:"0 everything, 1 user name, 2 client ID"`
	ACLPrefix    string       `key:"acl-prefix" default:"comqtt:acl" doc:"what the hashes with rules begin with"`
	PasswordHash int          `key:"password-hash" doc:"0 none, 1 bcrypt, 2 md5, 3 sha1, 4 sha256, 5 sha512, 6 to 8 the last three with hash-key"`
	HashKey      string       `key:"hash-key" is:"secret" doc:"key of the hashes 6 to 8"`
}

// AuthSQL is comqtt's auth-mysql.yml and auth-postgresql.yml.
type AuthSQL struct {
	AuthMode int          `key:"auth-mode" doc:"0 anonymous, 1 user name, 2 client ID"`
	ACLMode  int          `key:"acl-mode" doc:"0 everything, 1 user name, 2 client ID"`
	DSN      SQLSource    `key:"dsn"`
	Auth     SQLAuthTable `key:"auth"`
	ACL      SQLACLTable  `key:"acl"`
}

// SQLSource says where the database is.
type SQLSource struct {
	Host          string `key:"host" default:"localhost"`
	Port          int    `key:"port"`
	Schema        string `key:"schema" default:"comqtt" doc:"name of the database"`
	Charset       string `key:"charset" doc:"of MySQL"`
	SSLMode       string `key:"sslmode" doc:"of PostgreSQL: disable, require, verify-ca, verify-full"`
	LoginName     string `key:"login-name"`
	LoginPassword string `key:"login-password" is:"secret"`
	PasswordFile  string `key:"login-password-file" is:"path" doc:"file with that password"`
	MaxOpenConns  int    `key:"max-open-conns"`
	MaxIdleConns  int    `key:"max-idle-conns"`
}

// SQLAuthTable is the table of users.
type SQLAuthTable struct {
	Table          string `key:"table" default:"auth"`
	UserColumn     string `key:"user-column" default:"username"`
	PasswordColumn string `key:"password-column" default:"password"`
	AllowColumn    string `key:"allow-column" default:"allow"`
	PasswordHash   int    `key:"password-hash"`
	HashKey        string `key:"hash-key" is:"secret"`
}

// SQLACLTable is the table of rules.
type SQLACLTable struct {
	Table        string `key:"table" default:"acl"`
	UserColumn   string `key:"user-column" default:"username"`
	TopicColumn  string `key:"topic-column" default:"topic"`
	AccessColumn string `key:"access-column" default:"access"`
}

// AuthHTTP is comqtt's auth-http.yml.
type AuthHTTP struct {
	AuthMode    int    `key:"auth-mode" doc:"0 anonymous, 1 user name, 2 client ID"`
	ACLMode     int    `key:"acl-mode" doc:"0 everything, 1 user name, 2 client ID"`
	TLSEnable   bool   `key:"tls-enable" doc:"show the service a certificate"`
	TLSCert     string `key:"tls-cert" is:"path"`
	TLSKey      string `key:"tls-key" is:"path"`
	TLSCA       string `key:"tls-ca" is:"path" doc:"certificates of those that sign the service"`
	Method      string `key:"method" default:"post" doc:"get or post"`
	ContentType string `key:"content-type" default:"application/json" doc:"or application/x-www-form-urlencoded"`
	AuthURL     string `key:"auth-url"`
	ACLURL      string `key:"acl-url"`
}

var deadAuthKeys = map[string]string{
	"acl.publish":   "access numbers are 0 deny, 1 subscribe, 2 publish, 3 both, as the code that reads them has it",
	"acl.subscribe": "see acl.publish",
	"acl.pubsub":    "see acl.publish",
}

// ranged is a number of a file, and what it may be.
type ranged struct {
	key      string
	value    int
	from, to int
}

// readOther reads another file that the main one names, as strictly.
func (l *Loaded) readOther(path string, env map[string]string, into any) error {
	setDefaults(reflect.ValueOf(into).Elem())
	d := &decoder{dead: deadAuthKeys, env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	err := d.decodeFile(path, into)
	l.Dead = append(l.Dead, d.notes...)
	if err != nil {
		return err
	}
	var errs []error
	for _, leaf := range leaves(into) {
		if leaf.is == "path" && leaf.value.String() != "" {
			found, err := l.find(leaf.value.String())
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", path, leaf.path, err))
			}
			leaf.value.SetString(found)
		}
	}
	return errors.Join(errs...)
}

// The datasources of Auth.
const (
	DatasourceNone = iota
	DatasourceRedis
	DatasourceMySQL
	DatasourcePostgres
	DatasourceHTTP
	DatasourceFile
)

// Datasource reads the file of the datasource: an *AuthRedis, an *AuthSQL or an *AuthHTTP; nil for none, and for files that have
// readers of their own.
func (l *Loaded) Datasource() (any, error) {
	if l.Auth.Way == 0 {
		return nil, nil
	}
	env := environment(os.Environ())
	var file any
	var checks func() []ranged
	switch l.Auth.Datasource {
	case DatasourceRedis:
		f := new(AuthRedis)
		file, checks = f, func() []ranged {
			return []ranged{{"auth-mode", f.AuthMode, 0, 2}, {"acl-mode", f.ACLMode, 0, 2}, {"password-hash", f.PasswordHash, 0, 8}}
		}
	case DatasourceMySQL, DatasourcePostgres:
		f := new(AuthSQL)
		file, checks = f, func() []ranged {
			return []ranged{{"auth-mode", f.AuthMode, 0, 2}, {"acl-mode", f.ACLMode, 0, 2}, {"auth.password-hash", f.Auth.PasswordHash, 0, 8}}
		}
	case DatasourceHTTP:
		f := new(AuthHTTP)
		file, checks = f, func() []ranged { return []ranged{{"auth-mode", f.AuthMode, 0, 2}, {"acl-mode", f.ACLMode, 0, 2}} }
	default:
		return nil, nil
	}
	if err := l.readOther(l.Auth.ConfPath, env, file); err != nil {
		return nil, &UsageError{err}
	}
	return file, check(l.Auth.ConfPath, checks())
}

func check(path string, values []ranged) error {
	var errs []error
	for _, v := range values {
		if v.value < v.from || v.value > v.to {
			errs = append(errs, usagef("%s: %s: %d is none of %d to %d", path, v.key, v.value, v.from, v.to))
		}
	}
	return errors.Join(errs...)
}
