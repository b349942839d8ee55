package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/client"
	"github.com/shoalmq/shoal/packets"
)

// Bridge is a shoal.Bridge to another broker. Make one with New.
type Bridge struct{ cfg Config }

var _ shoal.Bridge = (*Bridge)(nil)

// New returns a bridge. It connects to nothing; what is wrong with cfg is reported by shoal.New.
func New(cfg Config) *Bridge {
	cfg.Out, cfg.In = slices.Clone(cfg.Out), slices.Clone(cfg.In)
	cfg.setDefaults()
	return &Bridge{cfg}
}

// Name implements shoal.Bridge.
func (b *Bridge) Name() string { return b.cfg.Name }

// Validate reports what is wrong with the configuration. shoal.New calls it.
func (b *Bridge) Validate() error { return b.cfg.validate() }

// Bind implements shoal.Bridge.
func (*Bridge) Bind(*shoal.BridgeHost) {}

// Run implements shoal.Bridge.
func (b *Bridge) Run(ctx context.Context, h *shoal.BridgeHost) error {
	filters := make([]string, 0, len(b.cfg.Out))
	for i := range b.cfg.Out {
		filters = append(filters, b.cfg.Out[i].local())
	}
	sub, err := h.Subscribe(ctx, shoal.BridgeSubscription{
		Filters: filters, QoS: 2, Buffer: b.cfg.Buffer, BufferBytes: b.cfg.BufferBytes, RetainAsPublished: true,
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // cannot fail
	c := &crossing{b: b, h: h, ctx: ctx}
	c.remote = client.New(client.Config{Version: b.cfg.Version, Receive: c.receive})
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { c.connect(ctx) })
	err = c.send(ctx, sub)
	cancel()
	wg.Wait()
	return err
}

// crossing is a Bridge at work.
type crossing struct {
	b      *Bridge
	h      *shoal.BridgeHost
	ctx    context.Context //nolint:containedctx // of Run
	remote *client.Client
}

// The pause before a connection is tried again, which doubles each time.
const (
	firstPause   = 250 * time.Millisecond
	longestPause = 30 * time.Second
)

// connect connects to the other broker, again and again, until ctx ends.
func (c *crossing) connect(ctx context.Context) {
	pause := firstPause
	told := false // that it is away
	for i := 0; ctx.Err() == nil; i++ {
		address := c.b.cfg.Addresses[i%len(c.b.cfg.Addresses)]
		served := false
		err := c.serve(ctx, address, func() {
			served, pause = true, firstPause
			c.h.Logger().Info("the other broker is reached", "address", address)
		})
		if ctx.Err() != nil {
			return
		}
		if served || !told {
			c.h.Logger().Warn("the other broker is away; the bridge tries on, and messages wait in its sessions", "address", address, "error", err)
		}
		told = true
		if i%len(c.b.cfg.Addresses) < len(c.b.cfg.Addresses)-1 {
			continue // there are others
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestPause)
	}
}

// serve connects to one address, and serves the connection until it ends.
func (c *crossing) serve(ctx context.Context, address string, connected func()) error {
	nc, err := c.b.dial(ctx, address)
	if err != nil {
		return err
	}
	cfg := &c.b.cfg
	p := &packets.Connect{ProtocolVersion: cfg.Version, ClientID: cfg.ClientID, KeepAlive: uint16(cfg.KeepAlive / time.Second)}
	if cfg.UserName != "" {
		p.UserName = packets.Some(cfg.UserName)
	}
	p.Password = cfg.Password
	if cfg.Version >= packets.V5 {
		p.Properties.SessionExpiryInterval = packets.Some(uint32(min(cfg.SessionExpiry/time.Second, 0xFFFFFFFF)))
		p.Properties.ReceiveMaximum = packets.Some(uint16(1024))
	}
	var subs []packets.Subscription
	for i := range cfg.In {
		s := packets.Subscription{TopicFilter: cfg.In[i].remote(), QoS: cfg.In[i].QoS}
		if cfg.Version >= packets.V5 {
			s.NoLocal, s.RetainAsPublished, s.RetainHandling = true, true, 1
		}
		subs = append(subs, s)
	}
	return c.remote.Run(ctx, nc, p, subs, connected)
}

func (b *Bridge) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.ConnectTimeout)
	defer cancel()
	if b.cfg.Dial != nil {
		return b.cfg.Dial(ctx, address)
	}
	hostPort, secure, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{}
	if !secure {
		return d.DialContext(ctx, "tcp", hostPort)
	}
	cfg := b.cfg.TLS
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return (&tls.Dialer{NetDialer: &d, Config: cfg}).DialContext(ctx, "tcp", hostPort)
}

// failed wraps why a message of the other broker's was not accepted here.
func failed(topic string, err error) error { return fmt.Errorf("mqtt: publish to %q: %w", topic, err) }
