package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/shoalmq/shoal/cluster/internal/logbridge"
)

var (
	errNoKeys   = errors.New("gossip was started without keys, and goes on without")
	errLostKeys = errors.New("gossip was started with keys, and needs one at least")
)

// keyring makes memberlist's keyring of the configured keys, nil for none.
func (g *Gossip) keyring() (*memberlist.Keyring, error) {
	if len(g.cfg.Keys) == 0 {
		return nil, nil
	}
	ring, err := memberlist.NewKeyring(g.cfg.Keys, g.cfg.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	return ring, nil
}

// SetKeys changes the keys: the first encrypts, all decrypt.
func (g *Gossip) SetKeys(keys [][]byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.cfg.Keys) == 0:
		return errNoKeys
	case len(keys) == 0:
		return errLostKeys
	}
	g.cfg.Keys = slices.Clone(keys) // for a start that is still to come
	if g.ring == nil {
		return nil
	}
	for _, k := range keys {
		if err := g.ring.AddKey(k); err != nil {
			return err
		}
	}
	if err := g.ring.UseKey(keys[0]); err != nil {
		return err
	}
	for _, old := range g.ring.GetKeys() {
		if slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, old) }) {
			continue
		}
		if err := g.ring.RemoveKey(old); err != nil {
			return err
		}
	}
	return nil
}

// tellEvery is how often gossip that cannot be decrypted is worth a line.
const tellEvery = 10 * time.Second

// chatter passes memberlist's lines on at Debug, but says aloud, now and then, that somebody gossips without the right keys.
type chatter struct {
	log  *slog.Logger
	next *log.Logger
	last atomic.Int64
}

func newChatter(l *slog.Logger) *log.Logger {
	return log.New(&chatter{log: l, next: logbridge.Std(l)}, "", 0)
}

func (c *chatter) Write(p []byte) (int, error) {
	now, last := time.Now().UnixNano(), c.last.Load()
	if bytes.Contains(p, []byte("crypt")) && (last == 0 || now-last >= int64(tellEvery)) && c.last.CompareAndSwap(last, now) {
		c.log.Warn("gossip of a node without the right key was refused", "detail", string(bytes.TrimSpace(p)))
		return len(p), nil
	}
	return len(p), c.next.Output(2, string(p))
}
