package kafka

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/shoalmq/shoal"
)

// Bridge is a shoal.Bridge to Kafka. Make one with New.
type Bridge struct {
	cfg  Config
	outs []rule

	mu   sync.Mutex
	host *shoal.BridgeHost
}

var (
	_ shoal.Bridge                 = (*Bridge)(nil)
	_ shoal.ConnectObserver        = (*Bridge)(nil)
	_ shoal.DisconnectObserver     = (*Bridge)(nil)
	_ shoal.SubscriptionObserver   = (*Bridge)(nil)
	_ shoal.UnsubscriptionObserver = (*Bridge)(nil)
	_ shoal.SessionObserver        = (*Bridge)(nil)
)

// New returns a bridge. It connects to nothing; what is wrong with cfg is reported by shoal.New. It has no
// hooks for the messages of clients unless cfg.Events.Publish asks for them.
func New(cfg Config) shoal.Bridge {
	cfg.Out, cfg.In = slices.Clone(cfg.Out), slices.Clone(cfg.In)
	cfg.setDefaults()
	b := &Bridge{cfg: cfg}
	for _, o := range cfg.Out {
		b.outs = append(b.outs, newRule(o))
	}
	switch {
	case !cfg.Events.Publish || cfg.Events.Topic == "":
		return b
	case cfg.Events.PublishWaits:
		return &waiting{b}
	}
	return &observing{b}
}

// Name implements shoal.Bridge.
func (b *Bridge) Name() string { return b.cfg.Name }

// Validate reports what is wrong with the configuration. shoal.New calls it.
func (b *Bridge) Validate() error { return b.cfg.validate() }

// Bind implements shoal.Bridge.
func (b *Bridge) Bind(h *shoal.BridgeHost) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.host = h
}

func (b *Bridge) bound() *shoal.BridgeHost {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.host
}

// Run implements shoal.Bridge.
func (b *Bridge) Run(ctx context.Context, h *shoal.BridgeHost) error {
	g, ctx := errgroup.WithContext(ctx)
	if len(b.outs) > 0 || b.cfg.Events.Topic != "" {
		g.Go(func() error { return b.runOut(ctx, h) })
	}
	for i := range b.cfg.In {
		g.Go(func() error { return b.runIn(ctx, h, &b.cfg.In[i]) })
	}
	return g.Wait()
}
