package history

import (
	"slices"
	"time"

	"github.com/shoalmq/shoal/topics"
)

// never is the index of what does not happen; none that of what did not.
const (
	never = int(^uint(0) >> 1)
	none  = -1
)

// model is a history put in order: who was connected when, which session that was, what became of each message. Indices are those of
// events in the history.
type model struct {
	h        History
	conns    []*conn // in the order of their CONNECTs
	byConn   map[int]*conn
	sessions []*session // in the order in which they began
	clients  map[string]*client
	messages map[string]*message
	order    []*message // in the order in which they were first sent
	kills    []int
	lossy    []int // faults that let nodes be given up until the next calm
	faults   []int
	calms    []int
	quiet    int // the last Quiet, or none

	excuseLostNodes bool
}

// client is all that a ClientID did.
type client struct {
	conns    []*conn
	sessions []*session
	tangled  bool // connections were set up at the same time: nobody knows which came first
}

// conn is one connection.
type conn struct {
	number                   int
	client, node             string
	connect, connack, closed int // none if it did not happen
	by                       string
	clean                    bool
	expiry                   uint32 // as the client asked, or the server decided
	will                     *Will
	session                  *session // nil unless accepted
	present                  bool
	disconnect               int // the client's DISCONNECT
	disconnectCode           int
	disconnected             int // the server's
	drained                  int // the last
	requests                 []request
	served                   int // the sending of the last request that was answered
	aliveUntil               time.Duration
}

// request is what a client sent and had answered.
type request struct{ sent, answered int }

// session is what a client had between two CONNACKs without Session Present.
type session struct {
	client      string
	owner       *client
	conns       []*conn
	subs        []*subscription
	deliveries  []*delivery
	drained     int // the last Drained of its connections
	uncertain   int // from here on it may be gone; never
	unreleased  map[uint16]*delivery
	fromNothing bool // the first CONNACK said there was a session, and nobody knows of one
}

// subscription is one filter of a SUBSCRIBE.
type subscription struct {
	Subscription
	filter  string // without $share and the group's name
	group   string // the whole filter of a shared subscription, or ""
	sent    int
	acked   int // none, or when SUBACK granted it
	granted int
	ended   int // an UNSUBSCRIBE or another SUBSCRIBE was sent; never
	unacked int // the UNSUBACK; never
}

// message is all that carries one name.
type message struct {
	name    string
	topic   string
	client  string
	qos     int
	retain  bool
	empty   bool
	expires bool
	will    *conn // of this connection
	sends   []*transmission
}

// transmission is one PUBLISH that was sent.
type transmission struct {
	conn     *conn
	event    int
	packetID uint16
	dup      bool
	ack      int // PUBACK or PUBREC; none
	code     int
	again    bool // goes on with an exchange of QoS 2
}

// delivery is one PUBLISH that was received, and is not a repetition of QoS 2 in the same exchange.
type delivery struct {
	m       *message
	conn    *conn
	event   int
	qos     int
	dup     bool
	retain  bool
	repeats []int // of the same exchange
}

func newModel(h History, o Options) *model {
	m := &model{
		h: h, byConn: make(map[int]*conn), clients: make(map[string]*client), messages: make(map[string]*message), quiet: none,
		excuseLostNodes: o.ExcuseLostNodes,
	}
	b := builder{model: m, published: make(map[exchange]*transmission), subscribes: make(map[exchange]int), unsubscribes: make(map[exchange]int)}
	for i := range h {
		b.event(i, &h[i])
	}
	for _, s := range m.sessions {
		m.doubt(s)
	}
	return m
}

// matching returns the session's subscriptions, ever, that match a topic.
func (s *session) matching(topic string) (list []*subscription) {
	for _, sub := range s.subs {
		if topics.Match(sub.filter, topic) {
			list = append(list, sub)
		}
	}
	return list
}

// copies is how many copies of one message of a topic the session may get: one for each of its filters.
func (s *session) copies(topic string) int {
	filters := make(map[string]struct{})
	for _, sub := range s.matching(topic) {
		filters[sub.TopicFilter] = struct{}{}
	}
	return max(1, len(filters))
}

// firstSent is when the message was first sent; never for a will.
func (m *message) firstSent() int {
	if len(m.sends) == 0 {
		return never
	}
	return m.sends[0].event
}

// accepted is the first successful acknowledgement; none.
func (m *message) accepted() int {
	for _, t := range m.sends {
		if t.ack != none && !failed(t.code) {
			return t.ack
		}
	}
	return none
}

func (m *message) refused() bool {
	return slices.ContainsFunc(m.sends, func(t *transmission) bool { return t.ack != none && failed(t.code) })
}

// exchanges is how often the message was published: QoS 2 recognises what goes on.
func (m *message) exchanges() int {
	n := 0
	for _, t := range m.sends {
		if !t.again {
			n++
		}
	}
	return max(1, n)
}

// calm reports whether nothing was done to the cluster from one event to another.
func (m *model) calm(from, to int) bool {
	f, _ := slices.BinarySearch(m.faults, from)
	if f < len(m.faults) && m.faults[f] <= to {
		return false
	}
	if f == 0 {
		return true
	}
	c, _ := slices.BinarySearch(m.calms, from)
	return c > 0 && m.calms[c-1] > m.faults[f-1]
}

// forgotten reports whether a node was killed, or may have been given up, between two events.
func (m *model) forgotten(from, to int) bool {
	k, _ := slices.BinarySearch(m.kills, from)
	if k < len(m.kills) && m.kills[k] <= to {
		return true
	}
	l, _ := slices.BinarySearch(m.lossy, to+1)
	return l > 0 && !m.calm(max(from, m.lossy[l-1]), to)
}

// shareOf splits a filter into what it matches and, if it is shared, itself.
func shareOf(filter string) (matches, group string) {
	if s, ok, err := topics.ParseShare(filter); ok && err == nil {
		return s.Filter, filter
	}
	return filter, ""
}
