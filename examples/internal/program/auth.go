package program

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	sqldriver "github.com/go-sql-driver/mysql"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/file"
	authhttp "github.com/shoalmq/shoal/auth/http"
	"github.com/shoalmq/shoal/auth/mysql"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/auth/postgres"
	"github.com/shoalmq/shoal/auth/redis"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/auth/sqlsource"
	"github.com/shoalmq/shoal/internal/config"
)

// authentication is who may connect, and what of it can be read again.
type authentication struct {
	shoal.Authenticator
	what    string // for people
	reload  map[string]func() error
	changes []func(fn func()) // have fn called when rules change
	closers []io.Closer       // in the order to close
}

func newAuthentication(l *config.Loaded, log *slog.Logger) (*authentication, error) {
	a := &authentication{reload: make(map[string]func() error)}
	if l.Auth.Way == 0 {
		a.what = "everyone is let in: there is no authentication"
		return a, nil
	}
	if err := a.datasource(l, log); err != nil {
		return nil, errors.Join(err, a.close())
	}
	if path := l.Auth.BlacklistPath; path != "" {
		next := a.Authenticator
		if next == nil {
			next = nobody{}
		}
		ledger, err := file.NewLedger(file.LedgerConfig{Path: path, Next: next, Logger: log})
		if err != nil {
			return nil, errors.Join(&UsageError{Err: err}, a.close())
		}
		a.Authenticator, a.reload[path] = withoutMethods(ledger), ledger.Reload
		a.changes = append(a.changes, ledger.OnChange)
		a.closers = append([]io.Closer{ledger}, a.closers...)
		a.what += ", after " + path
	}
	return a, nil
}

func (a *authentication) close() (err error) {
	for _, c := range a.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}

// option gives the broker its authenticator.
func (a *authentication) option() shoal.Option {
	if a.Authenticator == nil {
		return shoal.WithAnonymous()
	}
	return shoal.WithAuthenticator(a.Authenticator)
}

// datasource makes the authenticator of the key auth.datasource.
func (a *authentication) datasource(l *config.Loaded, log *slog.Logger) error {
	if l.Auth.Datasource == config.DatasourceFile {
		f, err := file.New(file.Config{Path: l.Auth.ConfPath, Logger: log})
		if err != nil {
			return &UsageError{Err: err}
		}
		a.Authenticator, a.what, a.reload[l.Auth.ConfPath] = f, "users of "+l.Auth.ConfPath, f.Reload
		a.changes = append(a.changes, f.OnInvalidate)
		a.closers = append(a.closers, f)
		return nil
	}
	read, err := l.Datasource()
	if err != nil {
		return err
	}
	var s *source.Authenticator
	switch f := read.(type) {
	case *config.AuthRedis:
		s, err = redisSource(f, log)
		a.what = "users of Redis at " + f.RedisOptions.Addr
	case *config.AuthSQL:
		s, err = sqlSource(f, l.Auth.Datasource == config.DatasourceMySQL, log)
		a.what = fmt.Sprintf("users of the database %s at %s:%d", f.DSN.Schema, f.DSN.Host, f.DSN.Port)
	case *config.AuthHTTP:
		s, err = httpSource(f, log)
		a.what = "the service at " + f.AuthURL
	}
	if err != nil {
		return &UsageError{Err: fmt.Errorf("%s: %w", l.Auth.ConfPath, err)}
	}
	if s != nil {
		a.Authenticator = s
		a.closers = append(a.closers, s)
	}
	return nil
}

// comqttSource says what comqtt's modes and hashes mean: of the rules that match, the longest decides.
func comqttSource(authMode, aclMode, passwordHash int, hashKey string, log *slog.Logger) (source.Config, error) {
	login, err := source.ComqttMode(authMode)
	if err != nil {
		return source.Config{}, fmt.Errorf("auth-mode: %w", err)
	}
	rules, err := source.ComqttMode(aclMode)
	if err != nil {
		return source.Config{}, fmt.Errorf("acl-mode: %w", err)
	}
	passwords, err := password.Comqtt(passwordHash, hashKey)
	if err != nil {
		return source.Config{}, fmt.Errorf("password-hash: %w", err)
	}
	return source.Config{Login: login, ACL: rules, Passwords: passwords, Order: acl.LongestWins, Logger: log}, nil
}

// httpSource asks a service as comqtt does.
func httpSource(f *config.AuthHTTP, log *slog.Logger) (*source.Authenticator, error) {
	cfg, err := comqttSource(f.AuthMode, f.ACLMode, 0, "", log)
	if err != nil {
		return nil, err
	}
	conf := authhttp.Config{
		AuthURL: f.AuthURL, ACLURL: f.ACLURL, Method: http.MethodPost, Form: f.ContentType != "application/json", Comqtt: true, Source: cfg,
	}
	if strings.EqualFold(f.Method, http.MethodGet) {
		conf.Method, conf.Form = http.MethodGet, false
	}
	if f.TLSEnable || f.TLSCA != "" {
		if conf.TLS, err = clientTLS(f.TLSCert, f.TLSKey, f.TLSCA); err != nil {
			return nil, err
		}
	}
	return authhttp.New(conf)
}

func redisSource(f *config.AuthRedis, log *slog.Logger) (*source.Authenticator, error) {
	cfg, err := comqttSource(f.AuthMode, f.ACLMode, f.PasswordHash, f.HashKey, log)
	if err != nil {
		return nil, err
	}
	o := f.RedisOptions
	u := url.URL{Scheme: "redis", Host: o.Addr, Path: "/" + strconv.Itoa(o.DB)}
	if o.Username != "" || o.Password != "" {
		u.User = url.UserPassword(o.Username, o.Password)
	}
	return redis.New(redis.Config{URL: u.String(), UsersKey: f.AuthPrefix, RulesKey: f.ACLPrefix, Source: cfg})
}

func sqlSource(f *config.AuthSQL, isMySQL bool, log *slog.Logger) (*source.Authenticator, error) {
	cfg, err := comqttSource(f.AuthMode, f.ACLMode, f.Auth.PasswordHash, f.Auth.HashKey, log)
	if err != nil {
		return nil, err
	}
	d := &f.DSN
	if d.PasswordFile != "" {
		content, err := os.ReadFile(d.PasswordFile)
		if err != nil {
			return nil, err
		}
		d.LoginPassword = trimNewline(string(content))
	}
	tables := sqlsource.Tables{
		Users: f.Auth.Table, UserName: f.Auth.UserColumn, Password: f.Auth.PasswordColumn, Allow: f.Auth.AllowColumn,
		Rules: f.ACL.Table, RuleName: f.ACL.UserColumn, Topic: f.ACL.TopicColumn, Access: f.ACL.AccessColumn,
	}
	if isMySQL {
		setDefault(&d.Port, 3306)
		dsn := sqldriver.NewConfig()
		dsn.User, dsn.Passwd, dsn.Net, dsn.Addr, dsn.DBName = d.LoginName, d.LoginPassword, "tcp", net.JoinHostPort(d.Host, strconv.Itoa(d.Port)), d.Schema
		if d.Charset != "" {
			if err := dsn.Apply(sqldriver.Charset(d.Charset, "")); err != nil {
				return nil, fmt.Errorf("dsn.charset: %w", err)
			}
		}
		return mysql.New(mysql.Config{DSN: dsn.FormatDSN(), MaxOpen: d.MaxOpenConns, MaxIdle: d.MaxIdleConns, Tables: tables, Source: cfg})
	}
	setDefault(&d.Port, 5432)
	u := url.URL{Scheme: "postgres", User: url.UserPassword(d.LoginName, d.LoginPassword), Host: net.JoinHostPort(d.Host, strconv.Itoa(d.Port)), Path: "/" + d.Schema}
	if d.SSLMode != "" {
		u.RawQuery = url.Values{"sslmode": {d.SSLMode}}.Encode()
	}
	return postgres.New(postgres.Config{DSN: u.String(), MaxOpen: d.MaxOpenConns, MaxIdle: d.MaxIdleConns, Tables: tables, Source: cfg})
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// clientTLS is the TLS configuration of a client that shows a certificate, if it has one.
func clientTLS(cert, key, ca string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", ca)
		}
	}
	return c, nil
}
