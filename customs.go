package shoal

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// customs are what clients of other brokers may count on, and the specification does not ask for, or asks for the opposite.
type customs struct {
	upgradeQoS       bool
	noWillOnTakeover bool
	retainedRights   bool
	idPrefix         *string // nil: the default
}

// WithQoSOfSubscription delivers every message with the QoS of the subscription, also one that was published with less, as "upgrade_outgoing_qos" has
// mosquitto do. The specification asks for the lower one of both [MQTT-3.8.4-8]. Whoever published a message of QoS 0 is still not told what becomes of it.
func WithQoSOfSubscription() Option { return func(c *config) { c.customs.upgradeQoS = true } }

// WithoutWillOnTakeover publishes no will of a connection that ends because its client has connected again. The specification asks for it, unless the
// will's delay keeps it [MQTT-3.1.4-3]; but for monitoring it says that a client has gone that is there.
func WithoutWillOnTakeover() Option { return func(c *config) { c.customs.noWillOnTakeover = true } }

// keepsQuiet reports whether the connection ends because its client is back, and its will is not to be published then.
func (c *conn) keepsQuiet() bool {
	k := c.order.Load()
	return c.b.cfg.customs.noWillOnTakeover && k != nil && k.code == packets.SessionTakenOver
}

// WithRetainedRights has the Authorizer asked again, when a retained message is to be sent to a new subscriber, whether its publisher may still publish to that
// topic; one who may not is not heard any more, as "check_retain_source" has mosquitto do. The AccessRequest has the ClientID and a Principal with the Name that
// the publisher's session has, and no Data. Of a publisher whose session is over nobody knows who it was: its messages are sent.
func WithRetainedRights() Option { return func(c *config) { c.customs.retainedRights = true } }

// WithAssignedClientIDPrefix sets how the Client Identifiers begin that are assigned to clients that have none. Default "auto-". 16 letters and digits that nobody
// can guess follow.
func WithAssignedClientIDPrefix(prefix string) Option {
	return func(c *config) { c.customs.idPrefix = &prefix }
}

// maxIDPrefix leaves room for the rest.
const maxIDPrefix = 1024

func (c *customs) validate() error {
	if p := c.idPrefix; p != nil && (len(*p) > maxIDPrefix || !utf8.ValidString(*p) || strings.ContainsRune(*p, 0)) {
		return fmt.Errorf("shoal: WithAssignedClientIDPrefix: %.40q is no prefix; it must be UTF-8 of at most %d bytes without U+0000", *p, maxIDPrefix)
	}
	return nil
}

// outgoing returns the QoS with which a message goes to a subscriber.
func (c *customs) outgoing(subscribed, published packets.QoS) packets.QoS {
	if c.upgradeQoS {
		return subscribed
	}
	return min(subscribed, published)
}

// mayStillBeRetained reports whether the publisher of a retained message may still publish it, if that is to be asked.
func (b *Broker) mayStillBeRetained(sc *scratch, m *core.Message) bool {
	if !b.cfg.customs.retainedRights || b.authz == nil || m.Publisher == "" {
		return true
	}
	who := b.makerOf(m.Publisher)
	if !who.known {
		return true
	}
	sc.flush()
	ctx, cancel := context.WithTimeout(b.life, subscribeTimeout)
	defer cancel()
	err := b.authorize(ctx, &AccessRequest{
		ClientID: m.Publisher, Principal: &Principal{Name: who.name}, Action: ActionPublish, Topic: m.TopicName, QoS: m.QoS, Retain: true,
	})
	if err != nil {
		b.drop(DroppedEvent{ClientID: m.Publisher, TopicName: m.TopicName, QoS: m.QoS, Reason: DropNotAuthorized})
	}
	return err == nil
}
