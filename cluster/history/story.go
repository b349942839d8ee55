package history

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// most is how many violations, and how many lines of the story of each, Write prints.
const (
	mostViolations = 20
	mostLines      = 40
)

// Write prints the violations, each with the life of what it is about, for people.
func (r Report) Write(w io.Writer, h History) error {
	var b strings.Builder
	for i, v := range r.Violations {
		if i == mostViolations {
			fmt.Fprintf(&b, "… and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintf(&b, "%s: %s (client %s)\n", v.Rule, v.Text, v.Client)
		story(&b, h, v)
		b.WriteByte('\n')
	}
	if len(r.Violations) == 0 {
		b.WriteString("no violations\n")
	}
	fmt.Fprintln(&b, r.Summary)
	_, err := io.WriteString(w, b.String())
	return err
}

// story prints the events that show a violation, marked, and what else was heard of the message, of the connections concerned and of
// faults meanwhile.
func story(b *strings.Builder, h History, v Violation) {
	if len(v.Events) == 0 {
		return
	}
	from, to := v.Events[0], last(v.Events)
	conns := make(map[int]bool)
	for _, i := range v.Events {
		conns[h[i].Conn] = true
	}
	var lines []int
	for i := range h {
		e := &h[i]
		switch {
		case slices.Contains(v.Events, i),
			v.Message != "" && (e.Message == v.Message || (e.Will != nil && e.Will.Message == v.Message)),
			e.Kind == Fault || e.Kind == Calm || e.Kind == Quiet,
			e.Client == v.Client && (e.Kind == Connect || e.Kind == ConnAck || e.Kind == Closed || e.Kind == Disconnect || e.Kind == Disconnected),
			e.Conn != 0 && conns[e.Conn] && (e.Kind == Connect || e.Kind == ConnAck || e.Kind == Closed || e.Kind == Disconnected),
			answers(h, v, i):
			if (i >= from && i <= to) || e.Message == v.Message && v.Message != "" || slices.Contains(v.Events, i) {
				lines = append(lines, i)
			}
		}
	}
	skipped := 0
	for n, i := range lines {
		if over := len(lines) - mostLines; over > 0 && n >= mostLines/2 && n < mostLines/2+over && !slices.Contains(v.Events, i) {
			skipped++
			continue
		}
		if skipped > 0 {
			fmt.Fprintf(b, "      … %d more\n", skipped)
			skipped = 0
		}
		mark := ' '
		if slices.Contains(v.Events, i) {
			mark = '>'
		}
		fmt.Fprintf(b, "  %c %6d %s\n", mark, i+1, h[i])
	}
}

// answers reports whether an event belongs to an exchange of the message: the same packet identifier, after its PUBLISH on the connection.
func answers(h History, v Violation, i int) bool {
	e := &h[i]
	var of Kind
	switch e.Kind {
	case PubAck, PubRec, PubRel, PubComp:
		of = Publish
	case Acknowledge, Release, Complete:
		of = Deliver
	default:
		return false
	}
	if v.Message == "" {
		return false
	}
	for j := i - 1; j >= 0; j-- {
		if o := &h[j]; o.Conn == e.Conn && o.Kind == of && o.PacketID == e.PacketID {
			return o.Message == v.Message
		}
	}
	return false
}

// String is the event in a line.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%10.3fs  ", e.At.Seconds())
	if e.Client != "" {
		fmt.Fprintf(&b, "%s #%d at %s: ", e.Client, e.Conn, e.Node)
	}
	switch e.Kind {
	case Fault:
		fmt.Fprintf(&b, "FAULT %s %s %s", e.Fault, e.Node, e.Reason)
	case Calm, Quiet:
		b.WriteString(strings.ToUpper(string(e.Kind)))
	default:
		b.WriteString(string(e.Kind))
	}
	e.details(&b)
	return strings.TrimRight(b.String(), " ")
}

func (e *Event) details(b *strings.Builder) {
	switch e.Kind {
	case Connect:
		fmt.Fprintf(b, " clean=%t expiry=%s", e.CleanStart, expiryText(e.SessionExpiry))
		if w := e.Will; w != nil {
			fmt.Fprintf(b, " will=%q topic=%s qos=%d delay=%ds", w.Message, w.Topic, w.QoS, w.Delay)
		}
	case ConnAck:
		fmt.Fprintf(b, " code=%#02x session_present=%t", e.Code, e.SessionPresent)
	case Subscribe, Unsubscribe:
		fmt.Fprintf(b, " id=%d", e.PacketID)
		for _, s := range e.Subscriptions {
			fmt.Fprintf(b, " %s(%d)", s.TopicFilter, s.QoS)
		}
	case SubAck, UnsubAck:
		fmt.Fprintf(b, " id=%d codes=%v", e.PacketID, e.Codes)
	case Publish, Deliver:
		fmt.Fprintf(b, " %q topic=%s qos=%d", e.Message, e.Topic, e.QoS)
		if e.QoS > 0 {
			fmt.Fprintf(b, " id=%d", e.PacketID)
		}
		for _, f := range []struct {
			set  bool
			name string
		}{{e.Dup, " DUP"}, {e.Retain, " RETAIN"}, {e.Empty, " empty"}, {e.Corrupt != "", " corrupt"}} {
			if f.set {
				b.WriteString(f.name)
			}
		}
	case PubAck, PubRec, PubRel, PubComp, Acknowledge, Release, Complete:
		fmt.Fprintf(b, " id=%d code=%#02x", e.PacketID, e.Code)
	case Disconnect, Disconnected:
		fmt.Fprintf(b, " code=%#02x %s", e.Code, e.Reason)
	case Closed:
		fmt.Fprintf(b, " by %s %s", e.By, e.Reason)
	}
}

func expiryText(seconds *uint32) string {
	switch {
	case seconds == nil:
		return "unknown"
	case *seconds == 1<<32-1:
		return "never"
	}
	return (time.Duration(*seconds) * time.Second).String()
}
