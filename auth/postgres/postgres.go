package postgres

import (
	"crypto/tls"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/auth/sqlsource"
)

// Config is what New takes.
type Config struct {
	// DSN is postgres://user:password@host:port/database or "host=… port=… user=…", with the
	// parameters of pgx. Required.
	DSN string
	// TLS, if not nil, is used for all connections, instead of what the DSN's sslmode says.
	TLS *tls.Config
	// MaxOpen is how many connections there may be. Default 16.
	MaxOpen int
	// MaxIdle is how many are kept while nobody asks. Default as MaxOpen.
	MaxIdle int
	// Tables says where users and rules are. Default: see the package comment.
	Tables sqlsource.Tables
	// UserQuery and RulesQuery are used instead of Tables.
	UserQuery, RulesQuery string
	// Source says what is done with users and rules.
	Source source.Config
}

const (
	defaultOpen = 16
	// lifetime of a connection, so that a database behind an address that moves is found again.
	lifetime    = 30 * time.Minute
	dialTimeout = 5 * time.Second
)

// New makes an Authenticator, or says what is wrong with cfg.
func New(cfg Config) (*source.Authenticator, error) {
	c, err := pgx.ParseConfig(cfg.DSN)
	if err != nil || cfg.DSN == "" { // which may repeat the password
		return nil, errors.New("postgres: Config.DSN cannot be read; write it as postgres://user:password@host:5432/database")
	}
	if cfg.TLS != nil {
		c.TLSConfig = verifying(cfg.TLS, c.Host)
		for _, f := range c.Fallbacks { // none without TLS
			f.TLSConfig = verifying(cfg.TLS, f.Host)
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = dialTimeout
	}
	db := stdlib.OpenDB(*c)
	open := cfg.MaxOpen
	if open <= 0 {
		open = defaultOpen
	}
	db.SetMaxOpenConns(open)
	db.SetMaxIdleConns(open)
	if cfg.MaxIdle > 0 {
		db.SetMaxIdleConns(cfg.MaxIdle)
	}
	db.SetConnMaxLifetime(lifetime)
	s, err := sqlsource.New(sqlsource.Config{
		Name: "postgres", DB: db, Tables: cfg.Tables, UserQuery: cfg.UserQuery, RulesQuery: cfg.RulesQuery,
		Order: cfg.Source.Order, Dialect: sqlsource.Dialect{
			Quote:       func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` },
			Placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
		},
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if cfg.Source.Name == "" {
		cfg.Source.Name = "postgres"
	}
	a, err := source.New(s, cfg.Source)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return a, nil
}

// verifying returns c for a server of this name.
func verifying(c *tls.Config, host string) *tls.Config {
	if c.ServerName != "" || c.InsecureSkipVerify {
		return c
	}
	c = c.Clone()
	c.ServerName = host
	return c
}
