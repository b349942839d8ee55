package file

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxProblems is how many errors of one file are reported.
const maxProblems = 20

// document reads YAML and notes what is wrong with it, and where.
type document struct {
	path     string
	problems []error
	more     int
}

// wrong notes a problem of a field.
func (d *document) wrong(n *yaml.Node, field, format string, args ...any) {
	if len(d.problems) >= maxProblems {
		d.more++
		return
	}
	d.problems = append(d.problems, fmt.Errorf("%s:%d:%d: %s: %s", d.path, n.Line, n.Column, field,
		fmt.Sprintf(format, args...)))
}

// err returns all problems.
func (d *document) err() error {
	if d.more > 0 {
		return errors.Join(append(d.problems, fmt.Errorf("%s: and %d more", d.path, d.more))...)
	}
	return errors.Join(d.problems...)
}

// parse returns the mapping that the document is; nil if it is empty or wrong.
func (d *document) parse(data []byte) *yaml.Node {
	var n yaml.Node
	if err := yaml.Unmarshal(data, &n); err != nil {
		d.problems = append(d.problems, fmt.Errorf("%s: %w", d.path, err))
		return nil
	}
	if len(n.Content) == 0 {
		return nil
	}
	return n.Content[0]
}

// field is a key of a mapping and what reads its value.
type field map[string]func(n *yaml.Node, path string)

// mapping reads a mapping with known keys.
func (d *document) mapping(n *yaml.Node, path string, fields field) {
	d.each(n, path, func(key string, k, v *yaml.Node, path string) {
		read, known := fields[key]
		if !known {
			names := make([]string, 0, len(fields))
			for name := range fields {
				names = append(names, name)
			}
			sort.Strings(names)
			d.wrong(k, path, "unknown key; there are %s", strings.Join(names, ", "))
			return
		}
		if !isNull(v) {
			read(v, path)
		}
	})
}

// each reads a mapping with any keys.
func (d *document) each(n *yaml.Node, path string, fn func(key string, k, v *yaml.Node, path string)) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrong(n, name(path), "must be a mapping (key: value), not %s", kind(n))
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		inner := strings.TrimPrefix(path+"."+k.Value, ".")
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
			d.wrong(k, name(path), "a key must be a text")
		case seen[k.Value]:
			d.wrong(k, inner, "is there twice")
		default:
			seen[k.Value] = true
			fn(k.Value, k, v, inner)
		}
	}
}

// sequence reads a list.
func (d *document) sequence(n *yaml.Node, path string, fn func(n *yaml.Node, path string)) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, name(path), "must be a list, not %s", kind(n))
		return
	}
	for i, item := range n.Content {
		fn(item, fmt.Sprintf("%s[%d]", path, i))
	}
}

// text reads a scalar as it is written; numbers and dates, too, are texts here.
func (d *document) text(to *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode {
			d.wrong(n, path, "must be a text, not %s", kind(n))
			return
		}
		*to = n.Value
	}
}

func (d *document) texts(to *[]string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		d.sequence(n, path, func(n *yaml.Node, path string) {
			var s string
			d.text(&s)(n, path)
			*to = append(*to, s)
		})
	}
}

func (d *document) boolean(to *bool) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(to) != nil {
			d.wrong(n, path, "must be true or false")
		}
	}
}

func (d *document) integer(n *yaml.Node, path string) (value int, ok bool) {
	value, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.wrong(n, path, "must be a number, not %s", kind(n))
		return 0, false
	}
	return value, true
}

func isNull(n *yaml.Node) bool { return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func name(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (*name); write it out"
	}
	return strconv.Quote(n.Value)
}
