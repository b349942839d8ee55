package shoal

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// Hooks are small interfaces of one method each. A value given to WithHook is asked once which of them it
// implements; a value that implements none is an error of New. An event that nobody listens to costs nothing.
//
// Interceptors may change what happens, or refuse it by an error: an *Error chooses the reason code, any other error becomes the one
// that fits. They run in the order of registration; the first error ends the chain and fails the action. They run
// on the goroutine of the connection concerned and must be safe for concurrent use.
//
// Observers are told what happened. They return nothing and must not block for long: they, too, run on the goroutine on which it
// happened, except MessageDropped, which has a goroutine of its own. No lock of the broker's is held in any hook. A panic in a hook
// costs the connection on whose behalf it ran. In a hook that runs on behalf of none it is logged, and an interceptor has refused.

// ConnectInterceptor sees each CONNECT after authentication.
type ConnectInterceptor interface {
	InterceptConnect(ctx context.Context, e *ConnectEvent) error
}

// ConnectEvent is a CONNECT about to be accepted. An interceptor may change SessionExpiryInterval, KeepAlive, Will and ResponseInformation.
type ConnectEvent struct {
	Client                ClientInfo
	CleanStart            bool
	SessionExpiryInterval uint32 // seconds
	KeepAlive             uint16 // seconds
	Will                  *Message
	UserProperties        []packets.UserProperty
	// ResponseInformation is what a client that has asked for it is told; see WithResponseInformation.
	ResponseInformation string
}

// ClientInfo describes one connection.
type ClientInfo struct {
	ClientID   string
	Principal  *Principal
	Version    packets.Version
	RemoteAddr net.Addr
	Listener   string
}

// SubscribeInterceptor sees each subscription of a SUBSCRIBE after authorisation, before it is made.
type SubscribeInterceptor interface {
	InterceptSubscribe(ctx context.Context, e *SubscribeEvent) error
}

// SubscribeEvent is one subscription about to be made. An interceptor may lower QoS; other fields are not read back.
type SubscribeEvent struct {
	Client         ClientInfo
	Subscription   packets.Subscription
	UserProperties []packets.UserProperty
}

// PublishInterceptor sees each message a client publishes, after authorisation, before it is stored or routed.
type PublishInterceptor interface {
	InterceptPublish(ctx context.Context, e *PublishEvent) error
}

// PublishEvent is one message about to be accepted. An interceptor may change Message; a QoS that is raised or lowered
// changes delivery, not the acknowledgement.
type PublishEvent struct {
	Client   ClientInfo
	Message  Message
	PacketID uint16 // of the PUBLISH; 0 for QoS 0 and wills
}

// DeliverInterceptor sees each message before it is handed to a session on this node; an error keeps it from that session.
type DeliverInterceptor interface {
	InterceptDeliver(ctx context.Context, e *DeliverEvent) error
}

// DeliverEvent is one message about to be handed to one session. It is not read back.
type DeliverEvent struct {
	ClientID string
	Message  Message
}

// WillInterceptor sees each will before it is published.
type WillInterceptor interface {
	InterceptWill(ctx context.Context, e *PublishEvent) error
}

// ConnectObserver is told of each client that was accepted, after its CONNACK.
type ConnectObserver interface {
	Connected(e ConnectedEvent)
}

// ConnectedEvent tells of an accepted client.
type ConnectedEvent struct {
	Client         ClientInfo
	SessionPresent bool
	CleanStart     bool
}

// DisconnectObserver is told of each connection that ended.
type DisconnectObserver interface {
	Disconnected(e DisconnectedEvent)
}

// DisconnectedEvent tells why a connection ended. Err is nil after a DISCONNECT by the client.
type DisconnectedEvent struct {
	Client     ClientInfo
	ReasonCode packets.ReasonCode
	Err        error
	After      time.Duration // since CONNECT
}

// SubscriptionObserver is told of each subscription made.
type SubscriptionObserver interface {
	Subscribed(e SubscribedEvent)
}

// SubscribedEvent tells of a subscription.
type SubscribedEvent struct {
	ClientID     string
	Subscription packets.Subscription
	Client       ClientInfo
	PacketID     uint16
	// Together are all subscriptions that were made by the same SUBSCRIBE, of which this is the one with Index.
	Together []packets.Subscription
	Index    int
}

// UnsubscriptionObserver is told of each subscription ended by an UNSUBSCRIBE.
type UnsubscriptionObserver interface {
	Unsubscribed(e UnsubscribedEvent)
}

// UnsubscribedEvent tells of the end of a subscription.
type UnsubscribedEvent struct {
	ClientID    string
	TopicFilter string
	Client      ClientInfo
	PacketID    uint16
	// Together are all filters that were ended by the same UNSUBSCRIBE, of which this is the one with Index.
	Together []string
	Index    int
}

// PublishObserver is told of each message a client of this node published, after it was routed. The message is only
// valid during the call, unless cloned.
type PublishObserver interface {
	Published(e PublishedEvent)
}

// PublishedEvent tells of a published message.
type PublishedEvent struct {
	ClientID string
	Message  Message
	Client   ClientInfo
	PacketID uint16 // of the PUBLISH; 0 for QoS 0
}

// SessionObserver is told of the end of a session, with everything in it.
type SessionObserver interface {
	SessionEnded(clientID string)
}

// DropObserver is told of each message that was dropped for one session, or as a whole (ClientID ""). It runs on a goroutine of its own behind
// a queue of 1,024 events; when that is full, events, not messages, are lost, and only counted (Metrics.DropEventsLost).
type DropObserver interface {
	MessageDropped(e DroppedEvent)
}

// DroppedEvent tells of a dropped message.
type DroppedEvent struct {
	ClientID  string
	TopicName string
	QoS       packets.QoS
	Reason    DropReason
}

// hooks holds what was registered, by event.
type hooks struct {
	connect     []ConnectInterceptor
	subscribe   []SubscribeInterceptor
	publish     []PublishInterceptor
	deliver     []DeliverInterceptor
	will        []WillInterceptor
	connected   []ConnectObserver
	disconnect  []DisconnectObserver
	subscribed  []SubscriptionObserver
	unsubscribe []UnsubscriptionObserver
	published   []PublishObserver
	session     []SessionObserver
	dropped     []DropObserver
	bridge      []BridgeObserver
}

// guard calls user code that runs outside of a connection's own goroutine, or after its end. It reports false, having logged it, if that panics.
func (b *Broker) guard(fn func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("panic in a hook", "panic", p, "stack", string(debug.Stack()))
			ok = false
		}
	}()
	fn()
	return true
}

func (h *hooks) add(v any) error {
	found := take(v, &h.connect)
	found = take(v, &h.subscribe) || found
	found = take(v, &h.publish) || found
	found = take(v, &h.deliver) || found
	found = take(v, &h.will) || found
	found = take(v, &h.connected) || found
	found = take(v, &h.disconnect) || found
	found = take(v, &h.subscribed) || found
	found = take(v, &h.unsubscribe) || found
	found = take(v, &h.published) || found
	found = take(v, &h.session) || found
	found = take(v, &h.dropped) || found
	found = take(v, &h.bridge) || found
	if !found {
		return fmt.Errorf("shoal: WithHook: %T implements none of the hook interfaces; does a method take the wrong arguments, or need a pointer receiver?", v)
	}
	return nil
}

func take[T any](v any, list *[]T) bool {
	t, ok := v.(T)
	if ok {
		*list = append(*list, t)
	}
	return ok
}
