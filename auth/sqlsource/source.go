package sqlsource

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
)

// Config is what New takes.
type Config struct {
	// Name of the database in errors: "mysql".
	Name    string
	DB      *sql.DB // closed with the Source
	Dialect Dialect
	// Prepare prepares the queries once for each connection; otherwise the driver does it itself.
	Prepare bool
	Tables  Tables
	// UserQuery and RulesQuery are used instead of Tables.
	UserQuery, RulesQuery string
	Order                 acl.Order
}

// Source is a source.Source. Make one with New.
type Source struct {
	cfg          Config
	users, rules query
}

var _ interface {
	source.Source
	io.Closer
} = (*Source)(nil)

// query is one of the two, prepared when it is needed first.
type query struct {
	text string
	args int

	mu   sync.Mutex // guards stmt, and nothing slow
	stmt *sql.Stmt
}

// New returns a Source, or says what is wrong with cfg. It does no I/O.
func New(cfg Config) (*Source, error) {
	s := &Source{cfg: cfg}
	users, rules, err := cfg.Tables.queries(cfg.Dialect)
	if err != nil {
		return nil, fmt.Errorf("%s: Config.Tables: %w", cfg.Name, err)
	}
	if cfg.UserQuery != "" {
		users = cfg.UserQuery
	}
	if cfg.RulesQuery != "" {
		rules = cfg.RulesQuery
	}
	if s.users.text, s.users.args, err = cfg.Dialect.bind(users); err != nil {
		return nil, fmt.Errorf("%s: Config.UserQuery: %w", cfg.Name, err)
	}
	if s.rules.text, s.rules.args, err = cfg.Dialect.bind(rules); err != nil {
		return nil, fmt.Errorf("%s: Config.RulesQuery: %w", cfg.Name, err)
	}
	return s, nil
}

// Close closes the database.
func (s *Source) Close() error { return s.cfg.DB.Close() }

// Check asks both queries for nobody, and returns what is wrong with them or with the database.
func (s *Source) Check(ctx context.Context) error {
	_, err := s.User(ctx, &source.Query{})
	if errors.Is(err, source.ErrUnknownUser) || errors.Is(err, source.ErrMalformed) {
		err = nil
	}
	_, err2 := s.Rules(ctx, &source.Subject{})
	return errors.Join(err, err2)
}

// maxRows is how many rows of an answer are read.
const maxRows = acl.MaxRules + 1

// row is a row by the names of its columns. NULL is not there.
type row map[string]string

// rows asks a query about a name.
func (s *Source) ask(ctx context.Context, q *query, name string) (rows []row, err error) {
	args := make([]any, q.args)
	for i := range args {
		args[i] = name
	}
	found, err := s.open(ctx, q, args)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.cfg.Name, q.text, err)
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	columns, err := found.Columns()
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.cfg.Name, q.text, err)
	}
	values := make([]sql.NullString, len(columns))
	to := make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for found.Next() && len(rows) < maxRows {
		if err := found.Scan(to...); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.cfg.Name, q.text, err)
		}
		r := make(row, len(columns))
		for i, c := range columns {
			if c = strings.ToLower(c); values[i].Valid || c == "allow" || c == "name" { // NULL says no
				r[c] = values[i].String
			}
		}
		if stored, ok := r["name"]; ok && stored != name {
			continue // the database compares more leniently
		}
		rows = append(rows, r)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.cfg.Name, q.text, err)
	}
	return rows, nil
}

func (s *Source) open(ctx context.Context, q *query, args []any) (*sql.Rows, error) {
	if !s.cfg.Prepare {
		return s.cfg.DB.QueryContext(ctx, q.text, args...)
	}
	q.mu.Lock()
	stmt := q.stmt
	q.mu.Unlock()
	if stmt == nil {
		made, err := s.cfg.DB.PrepareContext(ctx, q.text)
		if err != nil {
			return nil, err
		}
		q.mu.Lock()
		if q.stmt == nil {
			q.stmt = made
		}
		stmt = q.stmt
		q.mu.Unlock()
		if stmt != made { // somebody was quicker
			if err := made.Close(); err != nil {
				return nil, err
			}
		}
	}
	return stmt.QueryContext(ctx, args...)
}

// User implements source.Source.
func (s *Source) User(ctx context.Context, q *source.Query) (*source.User, error) {
	rows, err := s.ask(ctx, &s.users, q.Name)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, source.ErrUnknownUser
	}
	if len(rows) > 1 {
		return nil, fmt.Errorf("%w: %s: there are %d rows for one name", source.ErrMalformed, s.cfg.Name, len(rows))
	}
	r := rows[0]
	u := &source.User{Hash: r["password"], Salt: r["salt"]}
	if allow, ok := r["allow"]; ok {
		u.Disabled = !truth(allow)
	}
	u.Superuser = truth(r["superuser"])
	for name, value := range r {
		switch name {
		case "name", "password", "salt", "allow", "superuser":
			continue
		}
		if u.Attributes == nil {
			u.Attributes = make(map[string]string)
		}
		u.Attributes[name] = value
	}
	return u, nil
}

// truth reads a number or a boolean as databases write it.
func truth(s string) bool {
	switch strings.ToLower(s) {
	case "t", "true", "y", "yes":
		return true
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n != 0 || s == "\x01" // a BIT
}

// Rules implements source.Source.
func (s *Source) Rules(ctx context.Context, subject *source.Subject) (*acl.List, error) {
	rows, err := s.ask(ctx, &s.rules, subject.Name)
	if err != nil {
		return nil, err
	}
	var rules []acl.Rule
	var errs []error
	for _, r := range rows {
		list, err := s.rule(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: rule of %q: %w", s.cfg.Name, subject.Name, err))
		}
		rules = append(rules, list...)
	}
	list, err := acl.Compile(s.cfg.Order, rules)
	return list, errors.Join(append(errs, err)...)
}

// rule reads a row. What cannot be understood denies.
func (s *Source) rule(r row) ([]acl.Rule, error) {
	denied := []acl.Rule{{Effect: acl.Deny, Filter: r["topic"]}}
	permission, ok := r["permission"]
	if !ok {
		n, err := strconv.Atoi(r["access"])
		if err != nil {
			return denied, fmt.Errorf("topic %q has neither an access number nor a permission", r["topic"])
		}
		return acl.FromNumber(s.cfg.Order, r["topic"], n)
	}
	spec := acl.Spec{Topic: r["topic"]}
	switch permission {
	case "allow":
		spec.Allow = r["action"]
	case "deny":
		spec.Deny = r["action"]
	default:
		return denied, fmt.Errorf("topic %q: permission is %q; it must be allow or deny", r["topic"], permission)
	}
	if list := r["qos"]; list != "" {
		for text := range strings.SplitSeq(list, ",") {
			q, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				return denied, fmt.Errorf("topic %q: qos is %q; it must be numbers with commas between", r["topic"], list)
			}
			spec.QoS = append(spec.QoS, q)
		}
	}
	if retain, ok := r["retain"]; ok {
		spec.Retain = new(bool)
		*spec.Retain = truth(retain)
	}
	rules, err := spec.Rules()
	if err != nil {
		return denied, err
	}
	return rules, nil
}
