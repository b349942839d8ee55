package shoal

import core "github.com/shoalmq/shoal/internal/session"

// collected is a message that has come for a session while not all of the session is here.
type collected struct {
	core.Entry
	filter string       // of the subscription it came by, where a session gets a message once for each
	origin *core.Origin // nil unless the message may come again
}

// firstOf reports whether the session, which has just come here with what it has had, has not had a message that was collected before. Not until
// then could anybody here tell: what the store does not have yet is known to the last home alone. The caller holds s.mu.
func (s *session) firstOf(c *collected) bool {
	return c.origin == nil || s.takesFirst(&c.Entry, c.filter, c.origin, nil)
}
