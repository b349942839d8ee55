package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is a mistake in a file.
type Problem struct {
	File         string
	Line, Column int
	Text         string
}

// Error implements error.
func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// decoder reads one file.
type decoder struct {
	file     string
	env      func(name string) (string, bool)
	dead     map[string]string
	problems []error
	notes    []DeadKey         // that the file has
	origins  map[string]string // where a path has its value from
}

// decodeFile reads the YAML file at path into the struct that into points to.
func (d *decoder) decodeFile(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it is only read
	d.file = path
	return d.decode(f, into)
}

func (d *decoder) decode(r io.Reader, into any) error {
	var doc yaml.Node
	switch err := yaml.NewDecoder(r).Decode(&doc); {
	case errors.Is(err, io.EOF): // nothing but comments
		return nil
	case err != nil:
		return &Problem{File: d.file, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	d.section(doc.Content[0], reflect.ValueOf(into).Elem(), "")
	return errors.Join(d.problems...)
}

func (d *decoder) problem(n *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, &Problem{d.file, n.Line, n.Column, fmt.Sprintf(format, args...)})
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// section reads a mapping into a struct.
func (d *decoder) section(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, "%s is not a list of keys with values", named(path))
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line := seen[key.Value]; line > 0 {
			d.problem(key, "the key %q is there already, in line %d", join(path, key.Value), line)
			continue
		}
		seen[key.Value] = key.Line
		d.entry(key, value, v, path)
	}
}

func named(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func (d *decoder) entry(key, value *yaml.Node, v reflect.Value, path string) {
	whole := join(path, key.Value)
	if reason, ok := d.dead[whole]; ok {
		d.notes = append(d.notes, DeadKey{whole, fmt.Sprintf("%s:%d", d.file, key.Line), reason})
		return
	}
	if to, ok := movedKeys[whole]; ok && path == "" && v.Type() == reflect.TypeFor[Config]() {
		d.moved(value, v, to)
		return
	}
	fields := fieldsOf(v.Type(), path)
	at := slices.IndexFunc(fields, func(f field) bool { return slices.Contains(f.keys, key.Value) })
	if at < 0 {
		if d.deadSection(whole) && value.Kind == yaml.MappingNode {
			d.section(value, reflect.ValueOf(&struct{}{}).Elem(), whole)
			return
		}
		d.problem(key, "there is no key %q%s", whole, d.suggestion(key.Value, fields, path))
		return
	}
	d.field(value, v.Field(fields[at].index), fields[at])
}

func (d *decoder) field(n *yaml.Node, v reflect.Value, f field) {
	switch {
	case isNull(n):
	case f.section:
		d.section(n, v, f.path)
	case f.list:
		d.sections(n, v, f)
	case v.Kind() == reflect.Map:
		d.mapping(n, v, f)
	default:
		d.value(n, v, f)
	}
}

// moved reads the value of a key that has another place now.
func (d *decoder) moved(n *yaml.Node, v reflect.Value, to string) {
	for _, l := range leavesOf(v, "", "") {
		if l.path == to && !isNull(n) {
			d.value(n, l.value, l.field)
		}
	}
}

// deadSection reports whether all that can be in a section is dead.
func (d *decoder) deadSection(path string) bool {
	for dead := range d.dead {
		if strings.HasPrefix(dead, path+".") {
			return true
		}
	}
	return false
}

func (d *decoder) sections(n *yaml.Node, v reflect.Value, f field) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, "%s is not a list", f.path)
		return
	}
	for i, item := range n.Content {
		element := reflect.New(v.Type().Elem()).Elem()
		setDefaults(element)
		d.section(item, element, fmt.Sprintf("%s[%d]", f.path, i))
		v.Set(reflect.Append(v, element))
	}
	d.note(n, f)
}

// mapping reads keys that are not known before, with whole numbers.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, f field) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, "%s is not a list of keys with values", f.path)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(n.Content[i+1], value, f)
		v.SetMapIndex(reflect.ValueOf(n.Content[i].Value), value)
	}
}

// value reads a scalar, or a list of them.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f field) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.SequenceNode && v.Kind() == reflect.Slice:
		list := reflect.MakeSlice(v.Type(), 0, len(n.Content))
		for _, item := range n.Content {
			text, ok := d.expand(item, f)
			if !ok {
				return
			}
			list = reflect.Append(list, reflect.ValueOf(text))
		}
		v.Set(list)
	case n.Kind == yaml.ScalarNode:
		text, ok := d.expand(n, f)
		if !ok {
			return
		}
		if err := setText(v, text); err != nil {
			d.problem(n, "%s: %v", f.path, err)
			return
		}
	default:
		d.problem(n, "%s is not a single value", f.path)
		return
	}
	d.note(n, f)
}

func (d *decoder) note(n *yaml.Node, f field) {
	if d.origins != nil {
		d.origins[f.path] = fmt.Sprintf("%s:%d", d.file, n.Line)
	}
}

// expand puts environment variables in the place of ${NAME}; $${ stands for ${.
func (d *decoder) expand(n *yaml.Node, f field) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, "%s has something in it that is not a single value", f.path)
		return "", false
	}
	var b strings.Builder
	rest := n.Value
	for {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			return b.String(), true
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			rest = after
			continue
		}
		name, behind, closed := strings.Cut(after, "}")
		value, set := d.env(name)
		if !closed || !set {
			d.problem(n, "%s: the environment variable in %q is not set; write $${ for a plain ${", f.path, "${"+name+"}")
			return "", false
		}
		b.WriteString(before + value)
		rest = behind
	}
}

// suggestion names the key that may have been meant.
func (d *decoder) suggestion(key string, fields []field, path string) string {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.keys...)
	}
	if best := nearest(key, names); best != "" {
		return fmt.Sprintf("; did you mean %q?", join(path, best))
	}
	for _, l := range leavesOf(reflect.ValueOf(&Config{}).Elem(), "", "") {
		if l.key == key && d.origins != nil {
			return fmt.Sprintf("; did you mean %q, in another place?", l.path)
		}
	}
	return ""
}
