package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/shoalmq/shoal"
)

// ErrNotOpen is returned by Commit and Scan before Store.Open.
var ErrNotOpen = errors.New("redis: not open")

// Store is a store in Redis. Make one with Open. All methods may be called from any goroutine.
type Store struct {
	url     string
	prefix  string
	changes []func(*rueidis.ClientOption)
	script  *rueidis.Lua
	fenced  *rueidis.Lua
	calls   atomic.Uint64 // of CommitFenced; see there
	// eviction: a server that evicts is accepted.
	eviction bool

	mu     sync.RWMutex // guards the fields below, and nothing slow
	client rueidis.Client
	advice []string
	closed bool
}

// Option changes a Store.
type Option func(*Store)

// WithPrefix sets what all keys in Redis begin with. Default "shoal:".
func WithPrefix(prefix string) Option { return func(s *Store) { s.prefix = prefix } }

// WithClientOption changes the options of the client, after the URL was read into them: credentials, TLS, timeouts.
func WithClientOption(change func(*rueidis.ClientOption)) Option {
	return func(s *Store) { s.changes = append(s.changes, change) }
}

// Open returns a Store in the Redis at a URL; see the package's documentation. It does no I/O: that is for the method Open, which the broker calls
// when it starts, and which also tells what is wrong with the URL.
func Open(url string, opts ...Option) *Store {
	s := &Store{url: url, prefix: "shoal:", script: rueidis.NewLuaScript(commitScript), fenced: rueidis.NewLuaScript(fencedScript)}
	s.calls.Store(uint64(time.Now().UnixNano())) // beyond those of earlier processes
	for _, o := range opts {
		o(s)
	}
	return s
}

// commitScript applies operations to one Space: KEYS are its sorted set and its hash, ARGV three for each operation.
const commitScript = `
local order, entries = KEYS[1], KEYS[2]
local first = 1
` + applyOps + `
return 1`

// applyOps applies the operations in ARGV from number first on.
const applyOps = `
for i = first, #ARGV, 3 do
  local what, key = ARGV[i], ARGV[i + 1]
  if what == 'put' then
    redis.call('ZADD', order, 0, key)
    redis.call('HSET', entries, key, ARGV[i + 2])
  elseif what == 'delete' then
    redis.call('ZREM', order, key)
    redis.call('HDEL', entries, key)
  else
    redis.call('UNLINK', order, entries)
  end
end`

// loadingTime is how long Open waits for a server that is still reading its data, and loadingLook the pause between two questions.
const (
	loadingTime = 30 * time.Second
	loadingLook = 100 * time.Millisecond
)

// Open implements shoal.Opener. It connects to the server. One that has just started and is still reading its data is waited for.
func (s *Store) Open(ctx context.Context) error {
	option, err := rueidis.ParseURL(s.url)
	if err != nil {
		return fmt.Errorf("redis: the URL cannot be read; write it as redis://user:password@host:6379/0: %w", err)
	}
	option.DisableCache = true // nothing is read twice
	for _, change := range s.changes {
		change(&option)
	}
	client, err := connect(ctx, option)
	for began := time.Now(); err != nil && strings.Contains(err.Error(), "LOADING") && ctx.Err() == nil && time.Since(began) < loadingTime; {
		select {
		case <-time.After(loadingLook):
		case <-ctx.Done():
		}
		client, err = connect(ctx, option)
	}
	if err != nil {
		return err
	}
	advice, err := s.check(ctx, client)
	if err != nil {
		client.Close()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.client != nil {
		client.Close()
		return fmt.Errorf("redis: open: %w", errors.New("already open, or closed"))
	}
	s.client, s.advice = client, advice
	return nil
}

func connect(ctx context.Context, option rueidis.ClientOption) (rueidis.Client, error) {
	client, err := rueidis.NewClient(option)
	if err != nil {
		return nil, fmt.Errorf("redis: connect to %s: %w", strings.Join(option.InitAddress, ", "), err)
	}
	if err := client.Do(ctx, client.B().Ping().Build()).Error(); err != nil {
		client.Close()
		return nil, fmt.Errorf("redis: ping %s: %w", strings.Join(option.InitAddress, ", "), err)
	}
	return client, nil
}

// Close implements shoal.Storage. Calls that are under way fail. Closing twice is fine.
func (s *Store) Close() error {
	s.mu.Lock()
	client := s.client
	s.client, s.closed = nil, true
	s.mu.Unlock()
	if client != nil {
		client.Close()
	}
	return nil
}

// Shared implements shoal.SharedStorage.
func (s *Store) Shared() bool { return true }

func (s *Store) use() (rueidis.Client, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.closed:
		return nil, shoal.ErrStorageClosed
	case s.client == nil:
		return nil, ErrNotOpen
	}
	return s.client, nil
}

// Commit implements shoal.Storage.
func (s *Store) Commit(ctx context.Context, ops []shoal.Op) error {
	client, err := s.use()
	if err != nil {
		return fmt.Errorf("redis: commit: %w", err)
	}
	calls, err := s.collect(ops)
	if err != nil {
		return fmt.Errorf("redis: commit: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("redis: commit: %w", err)
	}
	return s.commit(ctx, client, calls)
}

// commit commits to Spaces that have no Fence.
func (s *Store) commit(ctx context.Context, client rueidis.Client, calls []call) error {
	if len(calls) == 0 {
		return nil
	}
	scripts := make([]rueidis.LuaExec, len(calls))
	for i, c := range calls {
		order, entries := s.keys(c.space)
		scripts[i] = rueidis.LuaExec{Keys: []string{order, entries}, Args: c.args}
	}
	for i, result := range s.script.ExecMulti(ctx, client, scripts...) {
		if err := result.Error(); err != nil {
			return fmt.Errorf("redis: commit: space %q: %w", calls[i].space, s.closedOr(err))
		}
	}
	return nil
}

// call is what a Commit does to one Space: three arguments of the script for each operation.
type call struct {
	space string
	args  []string
}

// collect sorts operations by Space, in their order, and makes one call for each.
func (s *Store) collect(ops []shoal.Op) (calls []call, err error) {
	places := make(map[string]int)
	for i := range ops {
		op := &ops[i]
		if err := op.Check(); err != nil {
			return nil, fmt.Errorf("space %q: %w", op.Space, err)
		}
		at, known := places[op.Space]
		if !known {
			at = len(calls)
			places[op.Space] = at
			calls = append(calls, call{space: op.Space})
		}
		what := "put"
		switch {
		case op.Key == nil:
			what = "drop"
		case op.Value == nil:
			what = "delete"
		}
		calls[at].args = append(calls[at].args, what, string(op.Key), string(op.Value))
	}
	return calls, nil
}

// scanBatch is how many entries Scan reads at a time.
const scanBatch = 128

// Scan implements shoal.Storage. It reads the entries batch by batch: one that is written or deleted meanwhile is passed or not. fn may call
// any method of s.
func (s *Store) Scan(ctx context.Context, space string, from []byte, fn func(key, value []byte) error) error {
	order, entries := s.keys(space)
	start := "-"
	if len(from) > 0 {
		start = "[" + string(from)
	}
	for {
		keys, values, err := s.read(ctx, order, entries, start)
		if err != nil {
			return fmt.Errorf("redis: scan: space %q: %w", space, err)
		}
		for i, key := range keys {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("redis: scan: space %q: %w", space, err)
			}
			if values[i] == nil {
				continue // deleted in between
			}
			if err := fn([]byte(key), values[i]); err != nil {
				return err
			}
		}
		if len(keys) < scanBatch {
			return nil
		}
		start = "(" + keys[len(keys)-1]
	}
}

// read returns up to scanBatch entries in order. The value of one that has just been deleted is nil.
func (s *Store) read(ctx context.Context, order, entries, start string) (keys []string, values [][]byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	client, err := s.use()
	if err != nil {
		return nil, nil, err
	}
	keys, err = client.Do(ctx, client.B().Zrangebylex().Key(order).Min(start).Max("+").Limit(0, scanBatch).Build()).AsStrSlice()
	if err != nil || len(keys) == 0 {
		return nil, nil, s.closedOr(err)
	}
	list, err := client.Do(ctx, client.B().Hmget().Key(entries).Field(keys...).Build()).ToArray()
	if err != nil {
		return nil, nil, s.closedOr(err)
	}
	values = make([][]byte, len(list))
	for i := range list {
		if list[i].IsNil() {
			continue
		}
		text, err := list[i].ToString()
		if err != nil {
			return nil, nil, err
		}
		values[i] = append([]byte{}, text...)
	}
	return keys, values, nil
}

// closedOr says that the store was closed, if that is what lies behind err.
func (s *Store) closedOr(err error) error {
	if err == nil {
		return nil
	}
	if _, closed := s.use(); closed != nil && errors.Is(err, rueidis.ErrClosing) {
		return closed
	}
	return err
}

// keys returns the names of a Space's sorted set and hash. What is in braces decides on the server in a Redis Cluster; a brace of the Space's
// own must not end it early, and it must not be empty.
func (s *Store) keys(space string) (order, entries string) {
	tag := s.prefix + "{" + escape(space) + "}"
	return tag + orderSuffix, tag + ":entries"
}

const orderSuffix = ":order"

func escape(space string) string {
	var name strings.Builder
	for i := range len(space) {
		if c := space[i]; c == '}' || c == '%' {
			fmt.Fprintf(&name, "%%%02x", c)
		} else {
			name.WriteByte(c)
		}
	}
	return name.String()
}
