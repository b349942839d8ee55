package topics

import "strings"

const sharePrefix = "$share/"

// Shared is a shared subscription, taken apart.
type Shared struct {
	Group  string // the ShareName
	Filter string // what the group subscribes to: the TopicFilter without "$share/" and the ShareName
}

// ParseShare takes "$share/{ShareName}/{filter}" apart. ok reports whether filter begins with "$share/"; a filter that
// does not is an ordinary one and no error. err is one of ErrShareName, ErrShareWildcard and ErrShareFilter
// [MQTT-4.8.2-1] [MQTT-4.8.2-2], with ok true. The rest, s.Filter, is not looked at: use [ValidateFilter] for the whole.
//
// The strings of s are parts of filter.
func ParseShare(filter string) (s Shared, ok bool, err error) {
	rest, ok := strings.CutPrefix(filter, sharePrefix)
	if !ok {
		return Shared{}, false, nil
	}
	group, inner, _ := strings.Cut(rest, "/")
	switch {
	case group == "":
		return Shared{}, true, ErrShareName
	case HasWildcard(group):
		return Shared{}, true, ErrShareWildcard
	case inner == "":
		return Shared{}, true, ErrShareFilter
	}
	return Shared{Group: group, Filter: inner}, true, nil
}

// String is the TopicFilter that ParseShare takes apart into s.
func (s Shared) String() string { return sharePrefix + s.Group + "/" + s.Filter }
