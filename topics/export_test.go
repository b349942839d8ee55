package topics

import (
	"reflect"
	"strings"
	"unsafe"
)

// Alias returns a string that shares the bytes of b, as one read from a pooled buffer would.
func Alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// CheckIndex fails if the structure of x breaks one of its own rules.
func CheckIndex[V comparable](t fataler, x *Index[V]) {
	t.Helper()
	ends := 0
	var visit func(n *node[V], isRoot bool)
	visit = func(n *node[V], isRoot bool) {
		children := 0
		if n.branch != nil {
			children = n.branch.count()
		}
		if n.end != 0 {
			ends++
			if x.wild.ends[n.end-1] != n {
				t.Fatalf("%q is not where it says in ends", n.filter())
			}
			checkSet(t, &n.values)
		}
		if !isRoot && n.end == 0 && children < 2 {
			t.Fatalf("node %q ends no filter and has %d children", n.filter(), children)
		}
		if n.branch == nil {
			return
		}
		if children == 0 {
			t.Fatalf("empty branch at %q", n.label)
		}
		if len(n.branch.few) > 0 && n.branch.many.m != nil {
			t.Fatalf("both few and many at %q", n.label)
		}
		for _, c := range n.children() {
			if c.parent != n {
				t.Fatalf("parent of %q", c.label)
			}
			if n.branch.find(c.label) != c {
				t.Fatalf("child %q is not found", c.label)
			}
			visit(c, false)
		}
	}
	visit(&x.wild.root, true)
	if ends != len(x.wild.ends) || int64(ends) != x.wild.count.Load() {
		t.Fatalf("%d nodes end a filter, %d listed, count %d", ends, len(x.wild.ends), x.wild.count.Load())
	}
	for i := range x.exact {
		for f, set := range x.exact[i].filters.m {
			if &x.exact[shardOf(f)] != &x.exact[i] {
				t.Fatalf("%q is in the wrong shard", f)
			}
			checkSet(t, set)
		}
	}
}

func checkSet[V comparable](t fataler, s *valueSet[V]) {
	t.Helper()
	if s.more == nil {
		return
	}
	b := s.more
	if len(b.list) < 2 || (b.pos == nil) != (len(b.list) <= bagLinear) && len(b.list) > bagLinear {
		t.Fatalf("bag of %d values, table %v", len(b.list), b.pos != nil)
	}
	if b.pos != nil && len(b.pos) != len(b.list) {
		t.Fatalf("table of %d for %d values", len(b.pos), len(b.list))
	}
	for i, v := range b.list {
		if b.find(v) != i {
			t.Fatalf("value %v is not found where it is", v)
		}
	}
}

func (n *node[V]) children() []*node[V] {
	if n.branch == nil {
		return nil
	}
	out := append([]*node[V](nil), n.branch.few...)
	for _, c := range n.branch.many.m {
		out = append(out, c)
	}
	for _, c := range []*node[V]{n.branch.plus, n.branch.hash} {
		if c != nil {
			out = append(out, c)
		}
	}
	return out
}

// IndexIsBlank reports whether x is as it was when it was made, down to the capacities of its slices and maps.
func IndexIsBlank[V comparable](x *Index[V]) bool {
	for i := range x.exact {
		if !reflect.ValueOf(x.exact[i].filters).IsZero() {
			return false
		}
	}
	return reflect.ValueOf(x.wild.root).IsZero() && cap(x.wild.ends) == 0
}

// IndexNodes counts the nodes of the trie, without the root.
func IndexNodes[V comparable](x *Index[V]) int { return countNodes(&x.wild.root) - 1 }

func countNodes[V comparable](n *node[V]) int {
	sum := 1
	for _, c := range n.children() {
		sum += countNodes(c)
	}
	return sum
}

// IndexLabelBytes sums up the labels of the trie, and the keys of its tables.
func IndexLabelBytes[V comparable](x *Index[V]) int { return labelBytes(&x.wild.root) }

func labelBytes[V comparable](n *node[V]) int {
	sum := len(n.label)
	for _, c := range n.children() {
		sum += labelBytes(c)
	}
	return sum
}

// KeysShareLabels reports whether the keys of every table are parts of the labels they stand for.
func KeysShareLabels[V comparable](x *Index[V]) bool { return keysShareLabels(&x.wild.root) }

func keysShareLabels[V comparable](n *node[V]) bool {
	if n.branch != nil {
		for key, c := range n.branch.many.m {
			if key != "" && unsafe.StringData(key) != unsafe.StringData(c.label) {
				return false
			}
		}
	}
	for _, c := range n.children() {
		if !keysShareLabels(c) {
			return false
		}
	}
	return true
}

// CheckNames fails if the tree of x breaks one of its own rules.
func CheckNames[V any](t fataler, x *Names[V]) {
	t.Helper()
	depth, size, last := -1, 0, ""
	var visit func(p *page[V], level int)
	visit = func(p *page[V], level int) {
		if p != x.tree.root && len(p.items) < minItems || len(p.items) == 0 || len(p.items) > maxItems {
			t.Fatalf("page of %d items", len(p.items))
		}
		if p.below == nil {
			if depth >= 0 && depth != level {
				t.Fatalf("pages at levels %d and %d", depth, level)
			}
			depth = level
		} else if len(p.below) != len(p.items)+1 {
			t.Fatalf("%d items and %d pages below", len(p.items), len(p.below))
		}
		for i := range len(p.items) + 1 {
			if p.below != nil {
				visit(p.below[i], level+1)
			}
			if i == len(p.items) {
				return
			}
			name := p.items[i].name
			if size > 0 && strings.ReplaceAll(last, "/", "\x00") >= strings.ReplaceAll(name, "/", "\x00") {
				t.Fatalf("%q before %q", last, name)
			}
			last = name
			size++
		}
	}
	if x.tree.root != nil {
		visit(x.tree.root, 0)
	}
	if size != x.tree.size {
		t.Fatalf("%d names, size %d", size, x.tree.size)
	}
}

// NamesIsBlank reports whether nothing is left in x.
func NamesIsBlank[V any](x *Names[V]) bool { return x.tree.root == nil && x.tree.size == 0 }
