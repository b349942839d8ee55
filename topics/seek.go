package topics

import "strings"

// matchNames calls fn for the names below root that filter matches. It goes from candidate to candidate: a name that
// does not match tells what the next one that could match must at least be.
func matchNames[V any](root *page[V], filter string, fn func(name string, v V) bool) {
	c := cursor[V]{path: make([]step[V], 0, usualDepth)}
	target := appendLiteral(nil, filter)
	c.seek(root, target)
	for {
		it := c.item()
		if it == nil {
			return
		}
		if hiddenFrom(it.name, filter) {
			c.seek(root, []byte{'$' + 1}) // behind all names that begin with '$'
			continue
		}
		verdict, next := judge(filter, it.name, target[:0])
		switch verdict {
		case noneLeft:
			return
		case matches:
			if !fn(it.name, it.v) {
				return
			}
			c.next()
		case leapTo:
			target = next
			// Often the next name is far enough, and then a step is cheaper than a search.
			c.next()
			if it = c.item(); it != nil && compareLevels(it.name, target) < 0 {
				c.seek(root, target)
			}
		}
	}
}

type verdict int

const (
	matches  verdict = iota // filter matches the name
	leapTo                  // it does not, and matches nothing before next
	noneLeft                // it does not, and matches nothing behind the name either
)

// judge compares filter with name, level by level. It writes next to buf.
func judge(filter, name string, buf []byte) (v verdict, next []byte) {
	at, pos := 0, 0 // where the next levels of filter and name begin
	plus := -1      // the end of the last level of name that '+' took
	for at <= len(filter) {
		if filter[at:] == "#" {
			return matches, buf
		}
		if pos > len(name) { // the name ends too early; what could match is below it
			buf = append(append(buf, name...), '/')
			return leapTo, appendLiteral(buf, filter[at:])
		}
		filterEnd, nameEnd := levelEnd(filter, at), levelEnd(name, pos)
		level, other := filter[at:filterEnd], name[pos:nameEnd]
		switch {
		case level == "+":
			plus = nameEnd
		case other < level: // what could match is further on, under the same parent
			return leapTo, appendLiteral(append(buf, name[:pos]...), filter[at:])
		case other > level:
			return behind(name, plus, buf)
		}
		at, pos = filterEnd+1, nameEnd+1
	}
	if pos > len(name) {
		return matches, buf
	}
	return behind(name, plus, buf)
}

// behind leaps over everything at and below the level of name that the last '+' took. Without a '+' nothing is left.
func behind(name string, plus int, buf []byte) (v verdict, next []byte) {
	if plus < 0 {
		return noneLeft, buf
	}
	// Slash is the least of all bytes, and U+0000 comes next: this is the first name that is not below.
	return leapTo, append(append(buf, name[:plus]...), 0)
}

// appendLiteral appends the least that a name must be which the levels of filter match: they, up to the first
// wildcard, and an empty level in the place of a '+'.
func appendLiteral(buf []byte, filter string) []byte {
	for pos := 0; pos <= len(filter); {
		end := levelEnd(filter, pos)
		level := filter[pos:end]
		if level == "+" || level == "#" {
			filter = filter[:pos]
			if level == "#" {
				filter = strings.TrimSuffix(filter, "/") // "a/#" matches "a"
			}
			break
		}
		pos = end + 1
	}
	return append(buf, filter...)
}
