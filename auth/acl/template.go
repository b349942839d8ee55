package acl

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Client is whom the placeholders of rules stand for.
type Client struct {
	UserName   string // the name of the principal, as it was found to be: %u
	ClientID   string // %c
	Attributes map[string]string
}

// template is a filter with placeholders: texts and the values between them.
type template struct {
	texts  []string // one more than values
	values []string // "u", "c", or "{name}"
}

func parseTemplate(filter string) (t template, err error) {
	var text strings.Builder
	for rest := filter; ; {
		before, after, found := strings.Cut(rest, "%")
		_, _ = text.WriteString(before) // never fails
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(after, "%"):
			_ = text.WriteByte('%') // never fails
			rest = after[1:]
			continue
		case strings.HasPrefix(after, "u"), strings.HasPrefix(after, "c"):
			t.values, rest = append(t.values, after[:1]), after[1:]
		case strings.HasPrefix(after, "{"):
			name, tail, closed := strings.Cut(after[1:], "}")
			if !closed || name == "" {
				return template{}, errors.New("%{ wants a name and }")
			}
			t.values, rest = append(t.values, "{"+name+"}"), tail
		default:
			return template{}, errors.New("% wants u, c, {name} or another %")
		}
		t.texts = append(t.texts, text.String())
		text.Reset()
	}
	t.texts = append(t.texts, text.String())
	// Any value that may be put in makes a valid filter if "x" does, since none is empty.
	if err := checkFilter(strings.Join(t.texts, "x")); err != nil {
		return template{}, err
	}
	return t, nil
}

// fill returns the filter with the client's values. If one of them must not be put in, ok is false,
// and filter is what any value could make of the rule.
func (t template) fill(c Client) (filter string, ok bool) {
	if len(t.values) == 0 {
		return t.texts[0], true
	}
	var b strings.Builder
	for i, name := range t.values {
		_, _ = b.WriteString(t.texts[i]) // never fails, nor do the others
		value := c.value(name)
		if !harmless(value, b.Len() == 0) {
			return widest(b.String()), false
		}
		_, _ = b.WriteString(value)
	}
	_, _ = b.WriteString(t.texts[len(t.values)])
	return b.String(), true
}

func (c Client) value(name string) string {
	switch name {
	case "u":
		return c.UserName
	case "c":
		return c.ClientID
	}
	return c.Attributes[name[1:len(name)-1]]
}

// harmless reports whether a value stands for one topic level, or a part of one, and no other.
func harmless(value string, first bool) bool {
	return value != "" && !strings.ContainsAny(value, "/+#\x00") && utf8.ValidString(value) &&
		(!first || value[0] != '$')
}

// widest is the filter of all topics that begin like the levels of head that are complete. The
// empty filter, which is none, stands for all topics, those that begin with '$' among them.
func widest(head string) string {
	if i := strings.LastIndexByte(head, '/'); i >= 0 {
		return head[:i+1] + "#"
	}
	return ""
}
