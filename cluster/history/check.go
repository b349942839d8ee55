package history

import (
	"cmp"
	"fmt"
	"slices"
)

// Rule names what a violation breaks.
type Rule string

// The rules, and what each leaves open. The numbers are those of the guarantees in the package shoal's README.
const (
	// MessageLost: a message of QoS 1 or 2 was acknowledged, and a session that had subscribed before, with a SUBACK for QoS 1 or 2, did not
	// get it (guarantees 1, 2, 4, 5). Held only for sessions that certainly lasted, with the subscription, until they were drained.
	MessageLost Rule = "message-lost"
	// ExactlyOnce: a session got a QoS 2 message more often than it was published (4). A PUBLISH that repeats a packet identifier that was not yet
	// released is the same delivery. A publisher that begins a new exchange for the same message publishes it again.
	ExactlyOnce Rule = "exactly-once"
	// Repeated: a QoS 1 message came more often than it was published on one connection [MQTT-4.4.0-1]; or again, on a later one, without
	// DUP [MQTT-3.3.1-1], though no node was killed that could have forgotten the first time.
	Repeated Rule = "repeated"
	// AtMostOnce: a session got a QoS 0 message more often than it was published.
	AtMostOnce Rule = "at-most-once"
	// DupFlag: DUP is set on the first connection of a session, where nothing can be a repetition [MQTT-3.3.1-1].
	DupFlag Rule = "dup-flag"
	// PacketIdentifier: a packet identifier was used for another QoS 2 message before the client had released it [MQTT-4.3.3-10].
	PacketIdentifier Rule = "packet-identifier"
	// Disorder: the first deliveries of two messages of one publisher, topic and QoS came to a session in the wrong order (8). One message is before
	// another if it was acknowledged before the other was sent, or was sent before it on each connection on which the other was sent.
	// Messages that were refused have no order, nor has what a shared subscription passes on when a member goes away.
	Disorder Rule = "disorder"
	// TwoConnections: a connection was served, or got a message, after a later connection of the same client had been accepted (3): it was answered, or
	// was sent a message, that was sent after the later CONNACK had arrived.
	TwoConnections Rule = "two-connections"
	// StaleOwner: the same, where what was answered is a publish: a stale owner acknowledged (3).
	StaleOwner Rule = "stale-owner"
	// Unknown: a message that nobody had sent at that time, or not to that topic.
	Unknown Rule = "unknown-message"
	// Corrupt: a payload that is not what was sent.
	Corrupted Rule = "corrupt"
	// NotSubscribed: a message that matches nothing that the client had ever asked for, or that was sent after UNSUBACK, to a session with no other
	// subscription for it.
	NotSubscribed Rule = "not-subscribed"
	// Unasked: an acknowledgement of what was not sent on that connection.
	Unasked Rule = "unasked"
	// SharedTwice: a message came to more than one member of a group (7), while the cluster was calm and no member that had it had gone away.
	SharedTwice Rule = "shared-twice"
	// SharedLost: an acknowledged message of QoS 1 or 2 came to no member of a group that certainly had a member all the time (7), and from which none took
	// messages along: by unsubscribing, by the end of a session that is kept, or, for QoS 2, by the end of any session [MQTT-4.8.2-5].
	SharedLost Rule = "shared-lost"
	// RetainedStale: a retained message came to a subscription that was made after another had surely replaced it (6).
	RetainedStale Rule = "retained-stale"
	// RetainedMissing: no retained message came to a new subscription, though there surely was one (6).
	RetainedMissing Rule = "retained-missing"
	// RetainedDiffers: two new subscriptions, after all was quiet, got different retained messages of one topic (6).
	RetainedDiffers Rule = "retained-differs"
	// WillLost: a will that was surely due did not come to a session that must have it (5). One with a delay is surely due only if the client stays away, or
	// its session ends.
	WillLost Rule = "will-lost"
	// WillTwice: a will came twice to a session, as ExactlyOnce, Repeated and AtMostOnce count.
	WillTwice Rule = "will-twice"
	// WillVoid: a will came though the client had returned within its delay, with its session [MQTT-3.1.3-9]; or had said DISCONNECT, in a calm time, and
	// the broker had closed the connection upon it [MQTT-3.1.2-10].
	WillVoid Rule = "will-void"
	// SessionPresent: a CONNACK says 1 after Clean Start [MQTT-3.2.2-2] or to a client that never asked for a session; or 0 to one
	// whose session must be there (4, 5).
	SessionPresentWrong Rule = "session-present"
)

// Options say what to check. The zero value checks everything.
type Options struct {
	// Without leaves rules out.
	Without []Rule
	// ExcuseLostNodes excuses what sessions lose when the node that has them is killed: for clusters whose sessions live on one node each.
	ExcuseLostNodes bool
}

// Violation is one thing that is wrong for certain.
type Violation struct {
	Rule    Rule
	Text    string // what is wrong, in a sentence
	Message string // the message concerned, if it is one
	Client  string // the client that saw it
	Events  []int  // the events that show it, as indices of the History, ascending
}

// Report is the result of Check.
type Report struct {
	Violations []Violation // in the order of the last event that shows each
	Summary    Summary
}

// Summary says how much there was to check. A history that checks nothing violates nothing, too.
type Summary struct {
	Connections, Sessions, Messages, Acknowledged, Deliveries int
	// MustArrive is how many pairs of an acknowledged message and a session were held to MessageLost or SharedLost, WillsDue those held to WillLost,
	// RetainedRead how many retained topics new subscriptions were held to.
	MustArrive, WillsDue, RetainedRead int
}

func (s Summary) String() string {
	return fmt.Sprintf("%d connections, %d sessions, %d messages of which %d were acknowledged, %d deliveries; %d had to arrive, %d wills were due, %d retained topics read",
		s.Connections, s.Sessions, s.Messages, s.Acknowledged, s.Deliveries, s.MustArrive, s.WillsDue, s.RetainedRead)
}

// checker collects what the rules find.
type checker struct {
	*model
	opts Options
	Report
}

// Check looks for violations. It changes nothing in h and does not keep it.
func Check(h History, o Options) Report {
	c := &checker{opts: o}
	c.model = newModel(h, o)
	c.checkConnections()
	c.checkSessionPresent()
	c.checkDeliveries()
	c.checkRepetitions()
	c.checkOrder()
	c.checkLoss()
	c.checkShared()
	c.checkRetained()
	c.checkWills()
	slices.SortStableFunc(c.Violations, func(a, b Violation) int { return cmp.Compare(last(a.Events), last(b.Events)) })
	c.Summary.Connections, c.Summary.Sessions = len(c.conns), len(c.sessions)
	return c.Report
}

func last(list []int) int {
	if len(list) == 0 {
		return -1
	}
	return list[len(list)-1]
}

// found notes a violation, unless its rule is left out. Events that are -1 are none.
func (c *checker) found(r Rule, client string, m *message, events []int, format string, args ...any) {
	if slices.Contains(c.opts.Without, r) {
		return
	}
	v := Violation{Rule: r, Client: client, Text: fmt.Sprintf(format, args...)}
	if m != nil {
		v.Message = m.name
	}
	for _, e := range events {
		if e >= 0 {
			v.Events = append(v.Events, e)
		}
	}
	slices.Sort(v.Events)
	v.Events = slices.Compact(v.Events)
	c.Violations = append(c.Violations, v)
}
