package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

// What a server must be set to for what it has confirmed to be kept. It is checked when the store is opened, on every primary server.

// ErrEvicts is returned by Store.Open for a server that may evict what it has confirmed.
var ErrEvicts = errors.New("redis: the server evicts keys")

// WithEviction lets Open accept a server whose maxmemory-policy evicts keys. What it evicts is lost: sessions, their messages, retained messages.
func WithEviction() Option { return func(s *Store) { s.eviction = true } }

// settings are what is known of one server; "" where it does not tell.
type settings struct{ policy, aof, fsync, save string }

// check asks all primary servers for their settings, and returns what is to be advised.
func (s *Store) check(ctx context.Context, client rueidis.Client) (advice []string, err error) {
	for addr, node := range client.Nodes() {
		if primary, err := isPrimary(ctx, node); err == nil && !primary {
			continue
		}
		set, err := ask(ctx, node)
		if err != nil {
			return nil, fmt.Errorf("redis: ask %s for its settings: %w", addr, err)
		}
		more, err := set.judge(addr, s.eviction)
		if err != nil {
			return nil, err
		}
		advice = append(advice, more...)
	}
	return advice, nil
}

// ask reads the settings by CONFIG GET, or, as far as that goes, by INFO where CONFIG is forbidden.
func ask(ctx context.Context, node rueidis.Client) (set settings, err error) {
	for name, value := range map[string]*string{
		"maxmemory-policy": &set.policy, "appendonly": &set.aof, "appendfsync": &set.fsync, "save": &set.save,
	} {
		pairs, err := node.Do(ctx, node.B().ConfigGet().Parameter(name).Build()).AsStrMap()
		if _, refused := rueidis.IsRedisErr(err); refused {
			return askInfo(ctx, node)
		}
		if err != nil {
			return set, err
		}
		if *value = pairs[name]; name == "save" && *value == "" {
			*value = "never"
		}
	}
	return set, nil
}

func askInfo(ctx context.Context, node rueidis.Client) (set settings, err error) {
	text, err := node.Do(ctx, node.B().Info().Section("memory", "persistence").Build()).ToString()
	if _, refused := rueidis.IsRedisErr(err); refused {
		return set, nil
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "maxmemory_policy":
			set.policy = value
		case name == "aof_enabled" && value == "1":
			set.aof = "yes"
		case name == "aof_enabled":
			set.aof = "no"
		}
	}
	return set, err
}

// judge says what is wrong with a server's settings.
func (set *settings) judge(addr string, eviction bool) (advice []string, err error) {
	evicts := set.policy != "" && set.policy != "noeviction"
	if evicts && !eviction {
		return nil, fmt.Errorf("%w: maxmemory-policy of %s is %s, so that sessions and messages could vanish; set it to noeviction (CONFIG SET maxmemory-policy "+
			"noeviction, and in redis.conf), or accept the loss with redis.WithEviction", ErrEvicts, addr, set.policy)
	}
	say := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	if evicts {
		say("maxmemory-policy of %s is %s: what it evicts is lost; set it to noeviction", addr, set.policy)
	}
	switch {
	case set.policy == "":
		say("%s does not tell its settings (CONFIG and INFO are forbidden): see to it that maxmemory-policy is noeviction and appendonly yes", addr)
	case set.aof == "yes" && set.fsync != "" && set.fsync != "always":
		say("appendfsync of %s is %s: a crash of its machine loses what was confirmed last; set it to always where nothing may be lost", addr, set.fsync)
	case set.aof == "yes":
	case set.save == "never":
		say("%s keeps nothing on disk: a restart loses everything; set appendonly to yes", addr)
	case set.save == "":
		say("appendonly of %s is no, and it does not tell whether it takes snapshots: a restart may lose what was confirmed; set appendonly to yes", addr)
	default:
		say("%s keeps snapshots alone (save %q): a restart loses what was confirmed since the last one; set appendonly to yes", addr, set.save)
	}
	return advice, nil
}

// Advice implements shoal.StorageAdviser: it returns what the last Open has found about the servers' settings.
func (s *Store) Advice() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.advice
}
