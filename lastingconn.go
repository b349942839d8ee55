package shoal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shoalmq/shoal/internal/wire"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// How a Subscription with a Name connects to its session: it waits until this node may have it (see
// turn.go), sends CONNECT, ends subscriptions that the session has and that are not asked for any
// more, and subscribes.

// subscribeRetry is the pause after a refusal that may pass.
const subscribeRetry = 200 * time.Millisecond

// subscribeLasting is Subscribe with a Name. id is the ClientID.
func (b *Broker) subscribeLasting(ctx context.Context, id, skip string, filters []string, opts SubscribeOptions) (*lasting, error) {
	for _, f := range filters {
		if err := topics.ValidateFilter(f); err != nil {
			return nil, fmt.Errorf("shoal: Subscribe %q: %w", f, err)
		}
	}
	if opts.Expiry < 0 {
		return nil, fmt.Errorf("shoal: Subscribe: Expiry is %v; it must not be negative, 0 means never", opts.Expiry)
	}
	if !b.own.take(id) {
		return nil, fmt.Errorf("shoal: Subscribe: the Name %q is in use on this node; close that subscription first", opts.Name)
	}
	for {
		if err := b.awaitTurn(ctx, id); err != nil {
			b.own.release(id)
			return nil, err
		}
		l, err := b.connectLasting(ctx, id, skip, filters, opts)
		if err == nil {
			return l, nil
		}
		if !passes(err) || ctx.Err() != nil {
			b.own.release(id)
			return nil, errors.Join(ctx.Err(), err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(subscribeRetry):
		}
	}
}

// passes reports whether what was refused may succeed a moment later.
func passes(err error) bool {
	switch ReasonCodeOf(err, packets.Success) {
	case packets.ServerBusy, packets.ServerUnavailable, packets.UseAnotherServer:
		return true
	}
	return errors.Is(err, ErrTakenOver) || errors.Is(err, ErrNotServing)
}

func (b *Broker) connectLasting(ctx context.Context, id, skip string, filters []string, opts SubscribeOptions) (*lasting, error) {
	l := &lasting{
		b: b, id: id, skip: skip, opts: opts, answers: make(chan packets.Packet, 4),
		ended: make(chan struct{}), signal: make(chan struct{}, 1),
	}
	l.nc, l.c = b.serveOwn(l)
	b.sessions.addLocal(l)
	go l.read()
	if err := l.open(ctx, filters); err != nil {
		l.close(false)
		if !b.own.take(id) { // which read has released
			return nil, fmt.Errorf("shoal: Subscribe: the Name %q has come into use on this node", opts.Name)
		}
		return nil, err
	}
	return l, nil
}

// open connects and subscribes.
func (l *lasting) open(ctx context.Context, filters []string) error {
	expiry := uint32(neverExpires)
	if l.opts.Expiry > 0 {
		expiry = uint32(min((l.opts.Expiry+time.Second-1)/time.Second, neverExpires-1))
	}
	connect := &packets.Connect{ProtocolVersion: packets.V5, ClientID: l.id}
	connect.Properties.SessionExpiryInterval = packets.Some(expiry)
	connect.Properties.ReceiveMaximum = packets.Some(uint16(min(l.opts.Buffer, 65535)))
	answer, err := l.ask(ctx, connect)
	if err != nil {
		return err
	}
	ack, ok := answer.(*packets.ConnAck)
	if !ok {
		return fmt.Errorf("shoal: Subscribe: unexpected answer %T", answer)
	}
	if ack.ReasonCode.IsError() {
		return &Error{ReasonCode: ack.ReasonCode, Reason: ack.Properties.ReasonString.Or("")}
	}
	if stale := l.staleFilters(filters); len(stale) > 0 {
		if _, err := l.ask(ctx, &packets.Unsubscribe{PacketID: 1, TopicFilters: stale}); err != nil {
			return err
		}
	}
	return l.subscribe(ctx, filters)
}

func (l *lasting) subscribe(ctx context.Context, filters []string) error {
	if len(filters) == 0 {
		return nil
	}
	p := &packets.Subscribe{PacketID: 2}
	for _, f := range filters {
		_, shared, _ := topics.ParseShare(f)
		p.Subscriptions = append(p.Subscriptions, packets.Subscription{
			TopicFilter: f, QoS: l.opts.QoS, RetainHandling: l.opts.RetainHandling,
			RetainAsPublished: l.opts.RetainAsPublished, NoLocal: l.skip != "" && !shared,
		})
	}
	answer, err := l.ask(ctx, p)
	if err != nil {
		return err
	}
	ack, ok := answer.(*packets.SubAck)
	if !ok {
		return fmt.Errorf("shoal: Subscribe: unexpected answer %T", answer)
	}
	for i, code := range ack.ReasonCodes {
		if code.IsError() {
			return fmt.Errorf("shoal: Subscribe %q: %w", filters[i], &Error{ReasonCode: code, Reason: ack.Properties.ReasonString.Or("")})
		}
	}
	return nil
}

// staleFilters returns what the session is subscribed to and is not asked for any more.
func (l *lasting) staleFilters(filters []string) (stale []string) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	for f := range l.s.subs {
		if !slices.Contains(filters, f) {
			stale = append(stale, f)
		}
	}
	return stale
}

func (l *lasting) send(p packets.Packet) error {
	b, err := p.Append(nil, packets.V5)
	if err != nil {
		return err
	}
	_ = l.nc.SetWriteDeadline(time.Now().Add(cutOffTime)) // cannot fail
	_, err = l.nc.Write(b)
	return err
}

// ask sends a packet and waits for the answer.
func (l *lasting) ask(ctx context.Context, p packets.Packet) (packets.Packet, error) {
	if err := l.send(p); err != nil {
		return nil, l.endedBy(err)
	}
	select {
	case answer := <-l.answers:
		return answer, nil
	case <-l.ended:
		select {
		case answer := <-l.answers:
			return answer, nil
		default:
			return nil, l.endedBy(ErrClosed)
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *lasting) endedBy(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != nil {
		return l.over
	}
	return err
}

// read reads what the broker sends besides messages, until the connection ends.
func (l *lasting) read() {
	defer close(l.ended)
	defer l.b.own.release(l.id)
	defer l.b.sessions.removeLocal(l)
	rd := wire.NewReader(l.nc, &l.b.pool, maxConnect)
	defer rd.Close()
	why := ErrClosed
	for {
		h, body, ok, err := rd.Next()
		if err == nil && !ok {
			err = rd.Fill()
		}
		if err != nil {
			l.end(why)
			_ = l.nc.Close()
			return
		}
		if !ok {
			continue
		}
		p := packets.New(h.Type)
		if err := p.Decode(h, body, packets.V5); err != nil {
			why = err
			l.end(why)
			_ = l.nc.Close()
			return
		}
		switch p := p.(type) {
		case *packets.Disconnect:
			why = whyDisconnected(p)
		case *packets.PubRel: // of an exchange that was cut short
			_ = l.send(&packets.PubComp{PacketID: p.PacketID}) // else it comes again
		default:
			select {
			case l.answers <- p:
			default:
			}
		}
	}
}

// whyDisconnected makes an error of the broker's DISCONNECT.
func whyDisconnected(p *packets.Disconnect) error {
	e := &Error{ReasonCode: p.ReasonCode, Reason: p.Properties.ReasonString.Or("")}
	switch p.ReasonCode {
	case packets.SessionTakenOver:
		e.Err = ErrTakenOver
	case packets.ServerShuttingDown:
		e.Err = ErrClosed
	case packets.ServerUnavailable, packets.UseAnotherServer:
		e.Err = ErrNotServing
	}
	return e
}
