package mysql

import (
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/auth/sqlsource"
)

// Config is what New takes.
type Config struct {
	// DSN is user:password@tcp(host:port)/database, with the parameters of go-sql-driver/mysql.
	// Required.
	DSN string
	// TLS, if not nil, is used for all connections.
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
	c, err := driver.ParseDSN(cfg.DSN)
	if err != nil || cfg.DSN == "" { // which may repeat the password
		return nil, errors.New("mysql: Config.DSN cannot be read; write it as user:password@tcp(host:3306)/database")
	}
	if cfg.TLS != nil {
		c.TLS = cfg.TLS
	}
	if c.Timeout == 0 {
		c.Timeout = dialTimeout
	}
	c.InterpolateParams = false // prepared
	c.MultiStatements = false
	c.Logger = &driver.NopLogger{} // it would log what is returned
	connector, err := driver.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("mysql: Config.DSN: %w", err)
	}
	db := sql.OpenDB(connector)
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
		Name: "mysql", DB: db, Prepare: true, Tables: cfg.Tables, UserQuery: cfg.UserQuery, RulesQuery: cfg.RulesQuery,
		Order: cfg.Source.Order, Dialect: sqlsource.Dialect{
			Quote:       func(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" },
			Placeholder: func(int) string { return "?" },
		},
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if cfg.Source.Name == "" {
		cfg.Source.Name = "mysql"
	}
	a, err := source.New(s, cfg.Source)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return a, nil
}
