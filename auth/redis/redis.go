package redis

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/rueidis"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
)

// Config is what New takes.
type Config struct {
	// URL of Redis; see the package comment. Required.
	URL string
	// TLS is used for rediss:// instead of what the URL says.
	TLS *tls.Config
	// UsersKey is the hash of users. Default "comqtt:auth".
	UsersKey string
	// RulesKey is what the hashes of rules begin with; a colon and the name follow. Default
	// "comqtt:acl".
	RulesKey string
	// Change may change what the URL says. Default: nothing.
	Change func(*rueidis.ClientOption)
	// Source says what is done with users and rules.
	Source source.Config
}

// New makes an Authenticator, or says what is wrong with cfg.
func New(cfg Config) (*source.Authenticator, error) {
	if cfg.URL == "" {
		return nil, errors.New("redis: Config.URL is empty; write it as redis://user:password@host:6379/0")
	}
	option, err := rueidis.ParseURL(cfg.URL)
	if err != nil { // which may repeat the password
		return nil, errors.New("redis: Config.URL cannot be read; write it as redis://user:password@host:6379/0")
	}
	option.DisableCache = true // the cache is in front of this
	if cfg.TLS != nil {
		option.TLSConfig = cfg.TLS
		option.Sentinel.TLSConfig = cfg.TLS
	}
	if cfg.Change != nil {
		cfg.Change(&option)
	}
	r := &store{option: option, users: cfg.UsersKey, rules: cfg.RulesKey, order: cfg.Source.Order}
	if r.users == "" {
		r.users = "comqtt:auth"
	}
	if r.rules == "" {
		r.rules = "comqtt:acl"
	}
	if cfg.Source.Order == acl.AsWritten {
		return nil, errors.New("redis: Config.Source.Order is acl.AsWritten; the fields of a hash have no order")
	}
	if cfg.Source.Name == "" {
		cfg.Source.Name = "redis"
	}
	return source.New(r, cfg.Source)
}

// store is a source.Source.
type store struct {
	option       rueidis.ClientOption
	users, rules string
	order        acl.Order

	mu         sync.Mutex // guards the fields below, and nothing slow
	client     rueidis.Client
	connecting chan struct{} // closed when an attempt has ended
	failed     error         // of the last attempt
	closed     bool
	attempts   sync.WaitGroup
}

// connected returns the client, once there is one. An attempt to connect is shared.
func (r *store) connected(ctx context.Context) (rueidis.Client, error) {
	r.mu.Lock()
	switch {
	case r.closed:
		r.mu.Unlock()
		return nil, errors.New("redis: closed")
	case r.client != nil:
		defer r.mu.Unlock()
		return r.client, nil
	case r.connecting == nil:
		r.connecting = make(chan struct{})
		r.attempts.Add(1)
		go r.connect(r.connecting)
	}
	attempt := r.connecting
	r.mu.Unlock()
	select {
	case <-attempt:
	case <-ctx.Done():
		return nil, fmt.Errorf("redis: connect to %s: %w", r.where(), context.Cause(ctx))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		return nil, fmt.Errorf("redis: connect to %s: %w", r.where(), r.failed)
	}
	return r.client, nil
}

func (r *store) where() string { return strings.Join(r.option.InitAddress, ", ") }

func (r *store) connect(done chan struct{}) {
	defer r.attempts.Done()
	client, err := rueidis.NewClient(r.option)
	r.mu.Lock()
	if r.closed && err == nil {
		defer client.Close()
		client, err = nil, errors.New("redis: closed")
	}
	if err == nil {
		r.client = client
	}
	r.failed, r.connecting = err, nil
	r.mu.Unlock()
	close(done)
}

// Close implements io.Closer.
func (r *store) Close() error {
	r.mu.Lock()
	client := r.client
	r.client, r.closed = nil, true
	r.mu.Unlock()
	if client != nil {
		client.Close()
	}
	r.attempts.Wait()
	return nil
}

// Check returns what is wrong with the connection.
func (r *store) Check(ctx context.Context) error {
	c, err := r.connected(ctx)
	if err != nil {
		return err
	}
	if err := c.Do(ctx, c.B().Ping().Build()).Error(); err != nil {
		return fmt.Errorf("redis: ping %s: %w", r.where(), err)
	}
	return nil
}

// record is a user as it is stored. comqtt writes client, username and remote, too, and reads them no
// more than this package does.
type record struct {
	Password   string            `json:"password"`
	Salt       string            `json:"salt"`
	Allow      bool              `json:"allow"`
	Superuser  bool              `json:"superuser"`
	Attributes map[string]string `json:"attributes"`
}

// User implements source.Source.
func (r *store) User(ctx context.Context, q *source.Query) (*source.User, error) {
	c, err := r.connected(ctx)
	if err != nil {
		return nil, err
	}
	data, err := c.Do(ctx, c.B().Hget().Key(r.users).Field(q.Name).Build()).AsBytes()
	switch {
	case rueidis.IsRedisNil(err):
		return nil, source.ErrUnknownUser
	case err != nil:
		return nil, fmt.Errorf("redis: HGET %s: %w", r.users, err)
	}
	var u record
	if err := json.Unmarshal(data, &u); err != nil {
		return nil, fmt.Errorf("%w: redis: a field of %s is no JSON object of a user: %w", source.ErrMalformed, r.users, err)
	}
	return &source.User{
		Hash: u.Password, Salt: u.Salt, Disabled: !u.Allow, Superuser: u.Superuser, Attributes: u.Attributes,
	}, nil
}

// Rules implements source.Source.
func (r *store) Rules(ctx context.Context, s *source.Subject) (*acl.List, error) {
	c, err := r.connected(ctx)
	if err != nil {
		return nil, err
	}
	key := r.rules + ":" + s.Name
	fields, err := c.Do(ctx, c.B().Hgetall().Key(key).Build()).AsStrMap()
	if err != nil {
		return nil, fmt.Errorf("redis: HGETALL of a hash %s:…: %w", r.rules, err)
	}
	filters := make([]string, 0, len(fields))
	for f := range fields {
		filters = append(filters, f)
	}
	slices.Sort(filters) // so that errors are always the same
	var rules []acl.Rule
	var errs []error
	for _, f := range filters {
		list, err := r.rule(f, fields[f])
		if err != nil {
			errs = append(errs, fmt.Errorf("redis: %q of %q: %w", f, key, err))
		}
		rules = append(rules, list...)
	}
	list, err := acl.Compile(r.order, rules)
	return list, errors.Join(append(errs, err)...)
}

// rule reads an access number or a JSON object. What cannot be understood denies.
func (r *store) rule(filter, value string) ([]acl.Rule, error) {
	if n, err := strconv.Atoi(value); err == nil {
		return acl.FromNumber(r.order, filter, n)
	}
	denied := []acl.Rule{{Effect: acl.Deny, Filter: filter}}
	var s acl.Spec
	d := json.NewDecoder(bytes.NewReader([]byte(value)))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || d.More() {
		return denied, errors.New("it is neither an access number nor a JSON object of a rule")
	}
	if s.Topic != "" || s.Topics != nil {
		return denied, errors.New("the topic is the field; the rule must have none")
	}
	s.Topic = filter
	rules, err := s.Rules()
	if err != nil {
		return denied, err
	}
	return rules, nil
}
