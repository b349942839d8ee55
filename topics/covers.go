package topics

// Covers reports whether allowed matches every TopicName that asked matches. Both must be valid
// TopicFilters without a "$share/" prefix; take that off with [ParseShare] first. A TopicName is a
// filter, too: for one, Covers(allowed, name) is Match(allowed, name). It does not allocate.
//
// "a/#" covers "a", "a/b", "a/+" and "a/#"; "a/+" does not cover "a/#". "#" and "+/#" cover each
// other, and neither covers anything that begins with '$' [MQTT-4.7.2-1].
func Covers(allowed, asked string) bool {
	if hiddenFrom(asked, allowed) {
		return false
	}
	asked = spelledOut(asked)
	for a, b := 0, 0; ; {
		switch {
		case a > len(allowed):
			return b > len(asked)
		case allowed[a:] == "#":
			return true
		case b > len(asked) || asked[b:] == "#":
			return false
		}
		aEnd, bEnd := levelEnd(allowed, a), levelEnd(asked, b)
		if level := allowed[a:aEnd]; level != "+" && level != asked[b:bEnd] {
			return false
		}
		a, b = aEnd+1, bEnd+1
	}
}

// Overlap reports whether some TopicName is matched by both filters. Both must be valid
// TopicFilters without a "$share/" prefix. For a TopicName it is the same as Match. It does not
// allocate.
func Overlap(one, other string) bool {
	if hiddenFrom(one, other) || hiddenFrom(other, one) {
		return false
	}
	one, other = spelledOut(one), spelledOut(other)
	for a, b := 0, 0; ; {
		switch {
		case a <= len(one) && one[a:] == "#", b <= len(other) && other[b:] == "#":
			return true
		case a > len(one) || b > len(other):
			return a > len(one) && b > len(other)
		}
		aEnd, bEnd := levelEnd(one, a), levelEnd(other, b)
		x, y := one[a:aEnd], other[b:bEnd]
		if x != "+" && y != "+" && x != y {
			return false
		}
		a, b = aEnd+1, bEnd+1
	}
}

// spelledOut writes filters whose '#' has no parent that is a TopicName, since none is empty
// [MQTT-4.7.3-1], so that their '#' may match nothing, as it may in all other filters.
func spelledOut(filter string) string {
	switch filter {
	case "#":
		return "+/#"
	case "/#":
		return "/+/#"
	}
	return filter
}
