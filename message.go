package shoal

import (
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Message is an application message as programs see it.
//
// A Message that the broker hands out belongs to it: its slices must not be changed, and may be kept.
type Message struct {
	TopicName string
	Payload   []byte
	QoS       packets.QoS
	Retain    bool
	// Properties that travel with a message: Payload Format Indicator, Message Expiry Interval, Content Type, Response
	// Topic, Correlation Data, User Properties, and, on what a subscription delivers, its Subscription Identifiers. Others
	// are ignored.
	Properties packets.Properties
	// Publisher is the ClientID of the client that published it, "" for the program itself. Publish ignores it.
	Publisher string
	// Durability says where the message must be before Publish returns; by default what WithDurability says. On what the broker hands
	// out it is DurabilityDefault.
	Durability Durability

	delivery *delivery // nil unless it is to be acknowledged
}

// DropReason says why a message was dropped, in metrics and in MessageDropped events.
type DropReason string

// The reasons for which a message is dropped. Nothing is dropped without one.
const (
	DropExpired       DropReason = "expired"        // its Message Expiry Interval passed while it waited
	DropTooLarge      DropReason = "too_large"      // larger than the client's Maximum Packet Size
	DropQueueFull     DropReason = "queue_full"     // the session's queue was full
	DropSlowConsumer  DropReason = "slow_consumer"  // QoS 0: the client does not read fast enough
	DropRefused       DropReason = "refused"        // the client answered with a reason code of 0x80 or more
	DropSessionEnded  DropReason = "session_ended"  // the session ended before the message was acknowledged
	DropPeerQueueFull DropReason = "peer_full"      // QoS 0: the link to another node is full
	DropNotServing    DropReason = "not_serving"    // the node holds no lease
	DropStoreAway     DropReason = "store_away"     // the store fails, and the message would have to be kept
	DropNotAuthorized DropReason = "not_authorized" // the publisher may not publish to the topic
	DropRateLimited   DropReason = "rate_limited"   // the publisher was too fast; see RateRefuse
	DropIntercepted   DropReason = "intercepted"    // an interceptor refused it
	DropBrokerFull    DropReason = "broker_full"    // there was no room in TotalLimits, or in the tenant's
	DropMemory        DropReason = "memory"         // the broker has no memory left; see WithMemoryLimit
	DropOverLimit     DropReason = "over_limit"     // more levels, bytes of topic or User Properties than Limits allow
	DropOffline       DropReason = "offline"        // QoS 0 to a shared group whose members are all away
)

// publicMessage makes a Message of one that sessions share.
func publicMessage(m *core.Message, now int64) Message {
	pub := Message{
		TopicName: m.TopicName, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Publisher: m.Publisher,
	}
	if m.Properties != nil {
		pub.Properties = *m.Properties
	}
	if m.Expires != 0 {
		left := max(0, m.Expires-now)
		pub.Properties.MessageExpiryInterval = packets.Some(uint32((left + 999_999_999) / 1_000_000_000))
	}
	return pub
}

// publishOf makes the PUBLISH packet that stands for m.
func publishOf(m *Message) packets.Publish {
	p := packets.Publish{
		TopicName: m.TopicName, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Properties: m.Properties,
	}
	p.Properties.TopicAlias = packets.Optional[uint16]{} // which belongs to a connection
	p.Properties.SubscriptionIdentifiers = nil
	return p
}
