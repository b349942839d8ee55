package acl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// Effect is what a rule does. The zero value denies.
type Effect byte

// The effects of a rule.
const (
	Deny Effect = iota
	Allow
)

// String returns "deny" or "allow".
func (e Effect) String() string {
	if e == Allow {
		return "allow"
	}
	return "deny"
}

// Actions are those that a rule is about. The zero value means both.
type Actions byte

// The actions of a rule.
const (
	Publish   Actions = 1
	Subscribe Actions = 2
	Both      Actions = Publish | Subscribe
)

// String returns "publish", "subscribe" or "both".
func (a Actions) String() string {
	switch a {
	case Publish:
		return "publish"
	case Subscribe:
		return "subscribe"
	}
	return "both"
}

// Retain restricts a rule about publishing to messages with or without RETAIN. It says nothing of
// subscriptions.
type Retain byte

// The values of Retain.
const (
	AnyRetain    Retain = iota // whether RETAIN is set or not
	RetainSet                  // only messages with RETAIN
	RetainNotSet               // only messages without it
)

// Rule says something about the topics of a filter.
type Rule struct {
	Effect  Effect
	Actions Actions
	// Filter is a TopicFilter without "$share/", perhaps with placeholders.
	Filter string
	// QoS are those of the messages, or those asked for by subscriptions; empty means all.
	QoS    []packets.QoS
	Retain Retain
}

// String returns the rule for logs: "allow publish a/%u/#".
func (r Rule) String() string { return fmt.Sprintf("%s %s %s", r.Effect, r.Actions, r.Filter) }

// Order says which of several rules decides.
type Order byte

// The orders of rules; see the package comment.
const (
	DenyWins Order = iota
	AsWritten
	LongestWins
)

var orders = []string{"deny-wins", "as-written", "longest-wins"}

// String returns "deny-wins", "as-written" or "longest-wins".
func (o Order) String() string {
	if int(o) < len(orders) {
		return orders[o]
	}
	return fmt.Sprintf("Order(%d)", byte(o))
}

// ParseOrder reads what String returns. An empty text means DenyWins.
func ParseOrder(s string) (Order, error) {
	if s == "" {
		return DenyWins, nil
	}
	if i := slices.Index(orders, s); i >= 0 {
		return Order(i), nil // there are three
	}
	return 0, fmt.Errorf("acl: unknown order %q; there are %s", s, strings.Join(orders, ", "))
}

// MaxRules is how many rules a List may have.
const MaxRules = 10_000

// List is a list of rules, checked and ready for use by any number of clients. The nil List has no
// rules.
type List struct {
	order Order
	rules []compiled
}

// compiled is a rule taken apart. Without a template, it has no meaning that could be found, and
// denies everything.
type compiled struct {
	effect   Effect
	actions  Actions
	qos      [3]bool
	retain   Retain
	template template
}

// Compile checks rules. If one cannot be understood, there is an error, which names its number,
// from 1 on, and its filter, and also a List that fails closed: of such a rule, it allows
// nothing, or denies everything. Callers that can refuse the whole list should.
func Compile(order Order, rules []Rule) (*List, error) {
	if len(rules) > MaxRules {
		return Nothing(), fmt.Errorf("acl: %d rules; a list may have %d", len(rules), MaxRules)
	}
	l := &List{order: order}
	var errs []error
	if int(order) >= len(orders) {
		errs = append(errs, fmt.Errorf("acl: unknown order %d", order))
		l.rules = append(l.rules, compiled{})
	}
	for i, r := range rules {
		c, err := r.compile()
		if err != nil {
			errs = append(errs, fmt.Errorf("acl: rule %d (%s): %w", i+1, r, err))
			if r.Effect == Allow {
				continue
			}
			c = compiled{}
		}
		l.rules = append(l.rules, c)
	}
	if order == DenyWins {
		slices.SortStableFunc(l.rules, deniesFirst)
	}
	return l, errors.Join(errs...)
}

// Len returns the number of rules.
func (l *List) Len() int {
	if l == nil {
		return 0
	}
	return len(l.rules)
}

// Nothing returns a List that denies everything.
func Nothing() *List { return &List{rules: []compiled{{}}} }

// Merge returns a List of the rules of both, those of l first, in the order of l. Either may be nil.
func (l *List) Merge(other *List) *List {
	switch {
	case l.Len() == 0:
		return other
	case other.Len() == 0:
		return l
	}
	m := &List{order: l.order, rules: slices.Concat(l.rules, other.rules)}
	if m.order == DenyWins {
		slices.SortStableFunc(m.rules, deniesFirst)
	}
	return m
}

func deniesFirst(a, b compiled) int { return int(a.effect) - int(b.effect) }

func (r Rule) compile() (compiled, error) {
	c := compiled{effect: r.Effect, actions: r.Actions, retain: r.Retain}
	if c.actions == 0 {
		c.actions = Both
	}
	switch {
	case r.Effect > Allow:
		return c, fmt.Errorf("unknown effect %d", r.Effect)
	case r.Actions > Both:
		return c, fmt.Errorf("unknown actions %d", r.Actions)
	case r.Retain > RetainNotSet:
		return c, fmt.Errorf("unknown retain %d", r.Retain)
	}
	for _, q := range r.QoS {
		if int(q) >= len(c.qos) {
			return c, fmt.Errorf("QoS is %d; it must be 0, 1 or 2", q)
		}
		c.qos[q] = true
	}
	if len(r.QoS) == 0 {
		c.qos = [3]bool{true, true, true}
	}
	var err error
	c.template, err = parseTemplate(r.Filter)
	return c, err
}

func checkFilter(filter string) error {
	if strings.HasPrefix(filter, "$share/") {
		return errors.New("the filter must not begin with $share/; " +
			"shared subscriptions are judged by what follows that and the group")
	}
	return topics.ValidateFilter(filter)
}
