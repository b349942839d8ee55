package kafka

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// template is a text with places for what a message or a record says of itself.
type template []part

// part is a text, or, if name is set, a place.
type part struct{ text, name string }

// outNames and inNames report whether a place is known in rules to and from Kafka.
func outNames(name string) bool {
	n, err := strconv.Atoi(name)
	return name == "topic" || name == "client" || (err == nil && n > 0)
}

func inNames(name string) bool {
	header, is := strings.CutPrefix(name, "header:")
	return name == "topic" || name == "key" || (is && header != "")
}

func parseTemplate(text string, known func(name string) bool) (t template, err error) {
	for text != "" {
		before, rest, found := strings.Cut(text, "${")
		if before != "" {
			t = append(t, part{text: before})
		}
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("a ${ has no }")
		}
		if !known(name) {
			return nil, fmt.Errorf("${%s} is not known here", name)
		}
		t, text = append(t, part{name: name}), after
	}
	return t, nil
}

// fill puts values in their places.
func (t template) fill(value func(name string) string) string {
	if len(t) == 1 && t[0].name == "" {
		return t[0].text
	}
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
		} else {
			b.WriteString(value(p.name))
		}
	}
	return b.String()
}

// level returns a level of a TopicName, counted from 1; "" if there is none.
func level(name string, n int) string {
	for ; n > 1; n-- {
		_, rest, more := strings.Cut(name, "/")
		if !more {
			return ""
		}
		name = rest
	}
	first, _, _ := strings.Cut(name, "/")
	return first
}

// longestTopic is the most bytes that a topic of Kafka's has.
const longestTopic = 249

// kafkaTopic makes a text a topic of Kafka's. It reports false if that is not possible.
func kafkaTopic(text string) (string, bool) {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		case r == '/':
			return '.'
		}
		return '_'
	}, text)
	return clean, clean != "" && clean != "." && clean != ".." && len(clean) <= longestTopic
}
