package history

import "time"

// Kind is what happened.
type Kind string

// What clients send and receive, by the names of the packets; and what happened to the cluster.
const (
	Connect     Kind = "connect"     // sent
	ConnAck     Kind = "connack"     // received
	Subscribe   Kind = "subscribe"   // sent
	SubAck      Kind = "suback"      // received
	Unsubscribe Kind = "unsubscribe" // sent
	UnsubAck    Kind = "unsuback"    // received
	Publish     Kind = "publish"     // sent
	PubAck      Kind = "puback"      // received: the end of a QoS 1 publish
	PubRec      Kind = "pubrec"      // received
	PubRel      Kind = "pubrel"      // sent
	PubComp     Kind = "pubcomp"     // received: the end of a QoS 2 publish
	Ping        Kind = "pingreq"     // sent
	Pong        Kind = "pingresp"    // received
	Disconnect  Kind = "disconnect"  // sent

	Deliver      Kind = "deliver"      // a PUBLISH was received
	Acknowledge  Kind = "acknowledge"  // the PUBACK or PUBREC of a delivery was sent
	Release      Kind = "release"      // the PUBREL of a delivery was received
	Complete     Kind = "complete"     // the PUBCOMP of a delivery was sent
	Disconnected Kind = "disconnected" // a DISCONNECT was received
	Closed       Kind = "closed"       // the connection ended; By says by whom

	Fault   Kind = "fault"   // something is done to the cluster
	Calm    Kind = "calm"    // no fault is in effect and all nodes serve, until the next Fault
	Quiet   Kind = "quiet"   // nothing that was published before is still on its way to becoming a retained message
	Drained Kind = "drained" // all that a connection was to receive had the time to arrive
)

// Who ended a connection.
const (
	ByClient = "client"
	ByPeer   = "peer" // the broker, or the network
)

// FaultKill is the Fault that ends a node without warning. Checks that are told to excuse lost nodes look for it.
const FaultKill = "kill"

// FaultPacketLoss is the Fault that lets links between nodes lose a share of everything. Nodes that run
// may be given up by the others meanwhile, and forget what these had not agreed to.
const FaultPacketLoss = "packet-loss"

// Event is one thing that happened. Its fields have the names of the packet's; those that do not belong to its Kind are zero.
type Event struct {
	At     time.Duration `json:"at"` // since the history began, in nanoseconds
	Kind   Kind          `json:"kind"`
	Client string        `json:"client,omitempty"`
	Conn   int           `json:"conn,omitempty"` // numbers the connections of the history, from 1
	Node   string        `json:"node,omitempty"`

	PacketID uint16 `json:"packet_id,omitempty"`
	Code     int    `json:"code,omitempty"`  // the ReasonCode
	Codes    []int  `json:"codes,omitempty"` // the ReasonCodes of a SUBACK or UNSUBACK

	CleanStart     bool  `json:"clean_start,omitempty"`
	SessionPresent bool  `json:"session_present,omitempty"`
	Will           *Will `json:"will,omitempty"`
	// SessionExpiry is the Session Expiry Interval in seconds; of a CONNACK and a DISCONNECT, if they carry one.
	SessionExpiry *uint32 `json:"session_expiry,omitempty"`

	Subscriptions []Subscription `json:"subscriptions,omitempty"` // of a SUBSCRIBE; of an UNSUBSCRIBE with nothing but the filters

	Topic   string `json:"topic,omitempty"`
	QoS     int    `json:"qos,omitempty"`
	Dup     bool   `json:"dup,omitempty"`
	Retain  bool   `json:"retain,omitempty"`
	Message string `json:"message,omitempty"` // the message's name, from its payload
	Empty   bool   `json:"empty,omitempty"`   // the payload is empty, so that it has no name
	Expires bool   `json:"expires,omitempty"` // the message has a Message Expiry Interval
	Corrupt string `json:"corrupt,omitempty"` // what is wrong with a payload that was received

	By     string `json:"by,omitempty"`     // who ended the connection
	Reason string `json:"reason,omitempty"` // for the reader: why it ended, or what the fault was in detail
	Fault  string `json:"fault,omitempty"`  // what was done, in one word
}

// Will is the Will Message of a CONNECT.
type Will struct {
	Topic   string `json:"topic"`
	QoS     int    `json:"qos,omitempty"`
	Retain  bool   `json:"retain,omitempty"`
	Message string `json:"message,omitempty"`
	Empty   bool   `json:"empty,omitempty"`
	Delay   uint32 `json:"delay,omitempty"` // Will Delay Interval, in seconds
}

// Subscription is one filter of a SUBSCRIBE or UNSUBSCRIBE.
type Subscription struct {
	TopicFilter       string `json:"filter"`
	QoS               int    `json:"qos,omitempty"`
	NoLocal           bool   `json:"no_local,omitempty"`
	RetainAsPublished bool   `json:"retain_as_published,omitempty"`
	RetainHandling    int    `json:"retain_handling,omitempty"`
}

// History is what happened, in the order in which it was recorded.
type History []Event

// failed reports whether a reason code refuses.
func failed(code int) bool { return code >= 0x80 }
