package topics

import (
	"strings"
	"sync"
	"sync/atomic"
)

// trie holds the filters with a wildcard.
//
// A node other than the root is where a filter ends or where at least two filters part; there is no other. So there
// are at most twice as many nodes as filters, however deep these are.
type trie[V comparable] struct {
	mu   sync.RWMutex
	root node[V]
	// ends lists the nodes where a filter ends, so that a walk over all filters can pause and let go of the lock.
	ends  []*node[V]
	count atomic.Int64 // len(ends), for those who do not hold the lock
}

type node[V comparable] struct {
	label  string // one or more whole levels that follow the parent's; "#" is at most the last of them
	parent *node[V]
	branch *branch[V]  // nil: no children
	values valueSet[V] // of the filter that ends here
	end    int         // 1 + the node's place in trie.ends; 0: no filter ends here
}

func (t *trie[V]) add(filter string, v V) (first, added bool) {
	n := &t.root
	for rest := filter; ; {
		child := n.branch.find(rest)
		if child == nil {
			child = &node[V]{label: strings.Clone(rest)}
			n.adopt(child)
			t.begin(child, v)
			return true, true
		}
		k := commonLevels(child.label, rest)
		if k < len(child.label) {
			child = split(child, k)
		}
		if k == len(rest) {
			if child.end != 0 {
				return false, child.values.add(v)
			}
			t.begin(child, v)
			return true, true
		}
		n, rest = child, rest[k+1:]
	}
}

func (t *trie[V]) remove(filter string, v V) (last, found bool) {
	n := t.locate(filter)
	if n == nil {
		return false, false
	}
	last, found = n.values.remove(v)
	if last {
		t.finish(n)
		t.prune(n)
	}
	return last, found
}

func (t *trie[V]) replace(filter string, old, new V) (ok, smaller bool) {
	n := t.locate(filter)
	if n == nil {
		return false, false
	}
	return n.values.replace(old, new)
}

// locate returns the node where filter ends, or nil.
func (t *trie[V]) locate(filter string) *node[V] {
	n := &t.root
	for rest := filter; ; {
		n = n.branch.find(rest)
		if n == nil || !hasLevels(rest, n.label) {
			return nil
		}
		if len(rest) == len(n.label) {
			if n.end == 0 {
				return nil
			}
			return n
		}
		rest = rest[len(n.label)+1:]
	}
}

// begin lets a filter end at n, with the value v.
func (t *trie[V]) begin(n *node[V], v V) {
	t.ends = append(t.ends, n)
	n.end = len(t.ends)
	n.values = valueSet[V]{one: v}
	t.count.Store(int64(len(t.ends)))
}

// finish lets no filter end at n any more.
func (t *trie[V]) finish(n *node[V]) {
	top := len(t.ends) - 1
	t.ends[n.end-1] = t.ends[top]
	t.ends[n.end-1].end = n.end
	t.ends[top] = nil
	t.ends = t.ends[:top]
	if top == 0 || top < cap(t.ends)/8 {
		t.ends = append([]*node[V](nil), t.ends...) // nil, if there is none
	}
	n.end = 0
	n.values = valueSet[V]{}
	t.count.Store(int64(top))
}

// prune removes n if nothing needs it, and keeps the rule that a node ends a filter or has two children.
func (t *trie[V]) prune(n *node[V]) {
	if n.branch == nil {
		parent := n.parent
		parent.branch.remove(n)
		if parent.branch.count() == 0 {
			parent.branch = nil
		}
		n = parent
	}
	if n != &t.root && n.end == 0 && n.branch.count() == 1 {
		// The child stays, not n: children and trie.ends point to it.
		child := n.branch.only()
		child.label = n.label + "/" + child.label
		child.parent = n.parent
		n.parent.branch.replace(n, child)
	}
}

// split puts a new node above n that takes the first k bytes of n's label, and returns it. Both labels are copies, so
// that a short one does not keep the bytes of a long one.
func split[V comparable](n *node[V], k int) *node[V] {
	head := &node[V]{label: strings.Clone(n.label[:k]), parent: n.parent}
	n.parent.branch.replace(n, head)
	n.label = strings.Clone(n.label[k+1:])
	head.adopt(n)
	return head
}

func (n *node[V]) adopt(child *node[V]) {
	if n.branch == nil {
		n.branch = new(branch[V])
	}
	child.parent = n
	n.branch.put(child)
}

// filter puts the labels from the root to n together.
func (n *node[V]) filter() string {
	size := -1
	for p := n; p.parent != nil; p = p.parent {
		size += len(p.label) + 1
	}
	buf := make([]byte, size)
	for p := n; p.parent != nil; p = p.parent {
		size -= len(p.label)
		copy(buf[size:], p.label)
		if size > 0 {
			size--
			buf[size] = '/'
		}
	}
	return string(buf)
}

// appendMatches appends the values of the filters that match name.
func (t *trie[V]) appendMatches(dst []V, name string) []V {
	root := t.root.branch
	switch {
	case root == nil || name == "":
		return dst
	case name[0] == '$': // not for a filter that begins with a wildcard [MQTT-4.7.2-1]
		if child := root.literal(firstLevel(name)); child != nil {
			return child.enter(dst, name, 0)
		}
		return dst
	}
	return t.root.descend(dst, name, 0)
}

// enter compares n's label with the levels of name from pos on, and goes on below n.
func (n *node[V]) enter(dst []V, name string, pos int) []V {
	end, whole, ok := matchLevels(n.label, name, pos)
	switch {
	case !ok:
		return dst
	case whole:
		return n.values.appendTo(dst)
	}
	return n.descend(dst, name, end)
}

// descend appends the values of n and below. The labels down to n have taken the levels of name before pos.
//
// It calls itself only where both '+' and a literal child may match, and loops otherwise. So the depth grows only at
// nodes where filters part, not with the levels of a name.
func (n *node[V]) descend(dst []V, name string, pos int) []V {
	for {
		if n.branch != nil && n.branch.hash != nil {
			dst = n.branch.hash.values.appendTo(dst) // also with no level left: "a/#" matches "a"
		}
		if pos > len(name) {
			if n.end != 0 {
				dst = n.values.appendTo(dst)
			}
			return dst
		}
		if n.branch == nil {
			return dst
		}
		next, other := n.branch.plus, n.branch.literal(name[pos:levelEnd(name, pos)])
		if next == nil {
			next, other = other, nil
		}
		if next == nil {
			return dst
		}
		if other != nil {
			dst = other.enter(dst, name, pos)
		}
		end, whole, ok := matchLevels(next.label, name, pos)
		switch {
		case !ok:
			return dst
		case whole:
			return next.values.appendTo(dst)
		}
		n, pos = next, end
	}
}

// hasLevels reports whether the whole levels of prefix begin s.
func hasLevels(s, prefix string) bool {
	return strings.HasPrefix(s, prefix) && (len(s) == len(prefix) || s[len(prefix)] == '/')
}

// commonLevels returns the length of the whole levels that a and b begin with, without the slash behind them. The
// first levels are equal.
func commonLevels(a, b string) int {
	n := min(len(a), len(b))
	k := 0 // the end of the last level known to be common
	for i := range n {
		if a[i] != b[i] {
			return k
		}
		if a[i] == '/' {
			k = i
		}
	}
	if (len(a) == n || a[n] == '/') && (len(b) == n || b[n] == '/') {
		return n
	}
	return k
}
