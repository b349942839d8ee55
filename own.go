package shoal

import (
	"context"
	"net"
	"strings"
	"sync"

	"github.com/shoalmq/shoal/internal/pipe"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// The program's own clients. A subscription with a Name is a session like any other: it is stored,
// replicated, moved, adopted and limited as all are. Only its connection differs: it comes from
// within, is not authenticated, and is handed messages as they are. What begins with ownPrefix,
// ClientIDs and topics alike, belongs to the broker, and clients of the network can neither connect
// with it, nor publish or subscribe to it.

const ownPrefix = "$shoal/"

// isOwn reports whether a ClientID or a topic is one of the broker's own.
func isOwn(name string) bool {
	return len(name) > 0 && name[0] == '$' && strings.HasPrefix(name, ownPrefix)
}

var errReservedClientID = &Error{
	ReasonCode: packets.ClientIdentifierNotValid,
	Reason:     "Client Identifiers that begin with " + ownPrefix + " belong to the server",
}

var errReservedTopic = &Error{
	ReasonCode: packets.NotAuthorized,
	Reason:     "topics that begin with " + ownPrefix + " belong to the server",
}

// ownClients are the open subscriptions of this node that have a Name, by ClientID.
type ownClients struct {
	mu   sync.Mutex
	byID map[string]struct{}
}

// take reserves a name. It reports false if it is in use on this node.
func (o *ownClients) take(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, used := o.byID[id]; used {
		return false
	}
	if o.byID == nil {
		o.byID = make(map[string]struct{})
	}
	o.byID[id] = struct{}{}
	return true
}

func (o *ownClients) release(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.byID, id)
}

func (o *ownClients) has(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, used := o.byID[id]
	return used
}

// serveOwn begins to serve a connection of the program's, and returns both of its ends.
func (b *Broker) serveOwn(own *lasting) (client net.Conn, c *conn) {
	client, server := pipe.New(inProcess)
	c = newConn(b, server, inProcess)
	c.own = own
	b.serveConn(c, false)
	return client, c
}

// taker is what takes the messages of the connection, if that is not the network. The caller holds s.mu.
func (c *conn) taker(s *session) core.Taker {
	if c.own == nil {
		return nil
	}
	c.own.s = s
	return c.own
}

// connectOwn carries out a CONNECT of the program's.
func (c *conn) connectOwn(ctx context.Context, p *packets.Connect) error {
	c.principal = &Principal{Name: p.ClientID}
	c.who.Store(&identity{c.clientID, c.principal})
	e := &ConnectEvent{
		Client:                c.info(),
		SessionExpiryInterval: p.Properties.SessionExpiryInterval.Or(neverExpires),
	}
	if cl := c.b.cluster; cl != nil {
		if err := cl.awaitServing(ctx); err != nil {
			return refusal(err, packets.ServerUnavailable)
		}
	}
	return c.b.admit(ctx, c, p, e, false)
}
