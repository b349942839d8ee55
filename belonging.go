package shoal

import (
	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/packets"
)

// A session belongs to the principal that made it (MQTT 5.0, section 5.4.2): another one that connects with the same ClientID is
// refused, and leaves the session, and the connection that has it, as they are. What is known of that is kept with the
// session; in a cluster it is agreed with each claim of a client.

// WithSessionsOfAnyPrincipal lets a client go on with, or discard, the session of another principal that has the same
// ClientID. By default it is refused with Not authorized (0x87), unless the broker was made with WithAnonymous, which
// knows no principals.
func WithSessionsOfAnyPrincipal() Option { return func(c *config) { c.anyPrincipal = true } }

// maker is the Name of the Principal that made a session. The zero value is not known, and anybody.
type maker struct {
	known bool
	name  string
}

// maker returns whom a session made by the connection belongs to.
func (c *conn) maker() maker {
	if _, anybody := c.b.auth.(anonymous); anybody || c.b.cfg.anyPrincipal {
		return maker{}
	}
	return maker{true, c.principal.Name}
}

// admits reports whether somebody may have what m has made.
func (m maker) admits(other maker) bool { return !m.known || !other.known || m.name == other.name }

// errNotYours refuses a client with the ClientID of another principal.
var errNotYours = &Error{ReasonCode: packets.NotAuthorized, Reason: "the Client Identifier belongs to another user"}

func (m maker) append(b []byte) []byte {
	return codec.AppendString(codec.AppendBool(b, m.known), m.name)
}

func readMaker(r *codec.Reader) maker { return maker{r.Bool(), r.String()} }

// readLateMaker is readMaker at the end of a record that may be older than that.
func readLateMaker(r *codec.Reader) maker {
	if !r.More() {
		return maker{}
	}
	return readMaker(r)
}

func (s *session) madeBy() maker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maker
}
