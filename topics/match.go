package topics

import "strings"

// Match reports whether filter, without a "$share/" prefix, matches name. Both must be valid. It does not allocate and
// takes time proportional to the shorter of the two.
//
// "a/#" matches "a" too. A filter that begins with a wildcard matches no name that begins with '$' [MQTT-4.7.2-1].
func Match(filter, name string) bool {
	if hiddenFrom(name, filter) {
		return false
	}
	end, whole, ok := matchLevels(filter, name, 0)
	return ok && (whole || end > len(name))
}

// HasWildcard reports whether filter contains '+' or '#'.
func HasWildcard(filter string) bool {
	return strings.IndexByte(filter, '#') >= 0 || strings.IndexByte(filter, '+') >= 0
}

// hiddenFrom is the rule for names that begin with '$' [MQTT-4.7.2-1].
func hiddenFrom(name, filter string) bool {
	return name != "" && name[0] == '$' && filter != "" && (filter[0] == '+' || filter[0] == '#')
}

// matchLevels compares the levels of label, which is a filter or some whole levels of one, with the levels of name from
// pos on. ok reports that all levels of label were found, and end is where the next level of name begins; it is
// len(name)+1 when no level is left. whole reports that label ended in '#' and so took the rest of name.
func matchLevels(label, name string, pos int) (end int, whole, ok bool) {
	for at := 0; at <= len(label); {
		if label[at:] == "#" {
			return len(name) + 1, true, true // also when no level of name is left: "a/#" matches "a"
		}
		if pos > len(name) {
			return 0, false, false
		}
		labelEnd, nameEnd := levelEnd(label, at), levelEnd(name, pos)
		if level := label[at:labelEnd]; level != "+" && level != name[pos:nameEnd] {
			return 0, false, false
		}
		at, pos = labelEnd+1, nameEnd+1
	}
	return pos, false, true
}

// levelEnd returns where the level of s that begins at pos ends: at the next slash, or at the end of s.
func levelEnd(s string, pos int) int {
	if i := strings.IndexByte(s[pos:], '/'); i >= 0 {
		return pos + i
	}
	return len(s)
}
