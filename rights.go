package shoal

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// A subscription stands only as long as its client may have it. The Authorizer is asked again when a session is resumed, and for all clients that are
// connected when rights have changed. What is no longer allowed ends, together with what waits for the client because of it.

// InvalidateAuthorization forgets all cached decisions of the Authorizer, and has the subscriptions of all clients that are connected checked again; those that
// are refused end, and what waits for their clients because of them is dropped, with the reason not_authorized. It does not wait for that: an Authorizer may
// call it.
func (b *Broker) InvalidateAuthorization() {
	b.authzEpoch.Add(1)
	select {
	case b.recheck <- struct{}{}:
	default: // it is going to be done
	}
}

// recheckRights checks standing subscriptions whenever rights have changed, until the broker has drained.
func (b *Broker) recheckRights() {
	slots := make(chan struct{}, recheckers)
	for {
		select {
		case <-b.recheck:
		case <-b.life.Done():
			return
		}
		for _, s := range b.sessions.all() {
			if s.rechecks.Add(1) > 1 {
				continue // it is checked again when that is over
			}
			select {
			case slots <- struct{}{}:
			case <-b.life.Done():
				return
			}
			free := sync.OnceFunc(func() { <-slots })
			late := time.AfterFunc(b.limits.ConnectTimeout, free) // nobody waits for an Authorizer that does not look at its context
			b.wg.Go(func() {
				for asked := int32(0); s.rechecks.Add(-asked) > 0; {
					asked = s.rechecks.Load()
					s.recheckRights()
				}
				late.Stop()
				free()
			})
		}
	}
}

// recheckers is how many sessions are checked at the same time.
const recheckers = 64

// recheckRights checks the subscriptions of a session whose client is connected; others are checked when theirs comes back.
func (s *session) recheckRights() {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c == nil {
		return
	}
	who := c.who.Load()
	ctx, cancel := context.WithTimeout(c.context(), s.b.limits.ConnectTimeout)
	defer cancel()
	if denied := s.denied(ctx, who.principal); len(denied) > 0 && s.revoke(denied) {
		c.flush()
	}
}

// denied returns the subscriptions of a session that p may not have, or not be told to have. It is called without locks.
func (s *session) denied(ctx context.Context, p *Principal) (list []*subscription) {
	b := s.b
	if b.authz == nil || isOwn(s.clientID) {
		return nil
	}
	s.mu.Lock()
	subs := slices.Collect(maps.Values(s.subs))
	s.mu.Unlock()
	for _, sub := range subs {
		err := errPanic
		b.guard(func() {
			share, _, _ := topics.ParseShare(sub.filter)
			err = b.authorize(ctx, &AccessRequest{
				ClientID: s.clientID, Principal: p, Action: ActionSubscribe, Topic: sub.match, QoS: sub.qos, Group: share.Group,
			})
		})
		if err != nil {
			list = append(list, sub)
		}
	}
	return list
}

// revoke ends subscriptions, as far as they still stand, and drops what waits because of them. It reports whether there was any.
func (s *session) revoke(denied []*subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []*subscription
	for _, sub := range denied {
		if s.subs[sub.filter] == sub && s.endSubscription(sub) {
			gone = append(gone, sub)
		}
	}
	if len(gone) == 0 {
		return false
	}
	matches := func(subs []*subscription, name string) bool {
		return slices.ContainsFunc(subs, func(sub *subscription) bool { return topics.Match(sub.match, name) })
	}
	stay := slices.Collect(maps.Values(s.subs))
	for _, e := range s.core.Lend(func(e *core.Entry) bool {
		again := e.State == core.Sent && s.conn == nil // it would be sent again on the next connection
		return (e.State == core.Queued || again) && matches(gone, e.Msg.TopicName) && !matches(stay, e.Msg.TopicName)
	}) {
		s.core.Given(e.Seq)
		s.b.drop(DroppedEvent{ClientID: s.clientID, TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: DropNotAuthorized})
	}
	s.pump(s.b.nano())
	return true
}

// loses ends the subscription to a filter that the client was refused just now: that it had it before changes nothing.
func (c *conn) loses(filter string, err error) {
	if ReasonCodeOf(err, packets.UnspecifiedError) != packets.NotAuthorized {
		return
	}
	c.s.mu.Lock()
	old := c.s.subs[filter]
	c.s.mu.Unlock()
	if old != nil {
		c.s.revoke([]*subscription{old})
	}
}
