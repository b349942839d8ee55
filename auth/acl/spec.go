package acl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shoalmq/shoal/packets"
)

// Spec is how rules are written in YAML and JSON files, tokens and answers of services:
//
//	{"allow": "publish", "topic": "a/%u/#", "qos": [0, 1], "retain": false}
//	{"deny": "both", "topics": ["secret/#", "internal/#"]}
//
// Exactly one of allow and deny, with publish, subscribe or both, and at least one topic are
// required. Without retain, it does not matter whether a message has RETAIN.
type Spec struct {
	Allow  string   `json:"allow,omitempty" yaml:"allow,omitempty"`
	Deny   string   `json:"deny,omitempty" yaml:"deny,omitempty"`
	Topic  string   `json:"topic,omitempty" yaml:"topic,omitempty"`
	Topics []string `json:"topics,omitempty" yaml:"topics,omitempty,flow"`
	QoS    []int    `json:"qos,omitempty" yaml:"qos,omitempty,flow"`
	Retain *bool    `json:"retain,omitempty" yaml:"retain,omitempty"`
}

// Rules returns what s says, a rule for each topic, or what is wrong with s.
func (s *Spec) Rules() ([]Rule, error) {
	r := Rule{}
	actions := s.Deny
	if s.Allow != "" {
		r.Effect, actions = Allow, s.Allow
	}
	if (s.Allow == "") == (s.Deny == "") {
		return nil, errors.New("exactly one of allow and deny must be set, to publish, subscribe or both")
	}
	switch actions {
	case "publish":
		r.Actions = Publish
	case "subscribe":
		r.Actions = Subscribe
	case "both":
		r.Actions = Both
	default:
		return nil, fmt.Errorf("%s is %q; it must be publish, subscribe or both", r.Effect, actions)
	}
	for _, q := range s.QoS {
		if q < 0 || q > 2 {
			return nil, fmt.Errorf("qos has %d; it must be 0, 1 or 2", q)
		}
		r.QoS = append(r.QoS, packets.QoS(q)) // checked above
	}
	if s.Retain != nil {
		r.Retain = RetainNotSet
		if *s.Retain {
			r.Retain = RetainSet
		}
	}
	filters := s.Topics
	if s.Topic != "" {
		filters = append([]string{s.Topic}, filters...)
	}
	if len(filters) == 0 {
		return nil, errors.New("topic or topics must be set")
	}
	rules := make([]Rule, len(filters))
	for i, f := range filters {
		rules[i] = r
		rules[i].Filter = f
		if _, err := rules[i].compile(); err != nil {
			return nil, fmt.Errorf("topic %q: %w", f, err)
		}
	}
	return rules, nil
}

// ParseJSON reads a JSON array of Spec, or an object of filters and access numbers as
// comqtt's HTTP services answer: {"a/#": 3}. Unknown keys are errors: a rule that is not
// understood must not be taken for another. The numbers are read as FromNumber does for order.
func ParseJSON(order Order, data []byte) ([]Rule, error) {
	data = bytes.TrimSpace(data)
	if bytes.HasPrefix(data, []byte("{")) {
		return parseNumbers(order, data)
	}
	var specs []Spec
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&specs); err != nil {
		return nil, fmt.Errorf("acl: rules in JSON: %w", err)
	}
	if d.More() {
		return nil, errors.New("acl: rules in JSON: something follows the list")
	}
	var rules []Rule
	for i := range specs {
		list, err := specs[i].Rules()
		if err != nil {
			return nil, fmt.Errorf("acl: rule %d: %w", i+1, err)
		}
		rules = append(rules, list...)
	}
	return rules, nil
}

func parseNumbers(order Order, data []byte) (rules []Rule, err error) {
	var numbers map[string]int
	if err := json.Unmarshal(data, &numbers); err != nil {
		return nil, fmt.Errorf("acl: filters and access numbers in JSON: %w", err)
	}
	for filter, access := range numbers { // the order of rules does not matter, see below
		list, err := FromNumber(order, filter, access)
		if err != nil {
			return nil, err
		}
		rules = append(rules, list...)
	}
	if order == AsWritten {
		return nil, errors.New("acl: a JSON object of access numbers has no order; use a list of rules")
	}
	return rules, nil
}
