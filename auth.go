package shoal

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// Authenticator decides who may connect. A broker has exactly one; see also WithAnonymous.
//
// Authenticate is called on the connection's own goroutine, before anything about the client is stored, and may block until ctx
// ends. It returns who the client is, or an error: an *Error chooses the reason code of the CONNACK, any other error
// becomes Not authorized (0x87). A panic costs that connection only.
//
// An Authenticator that is an Authorizer or an EnhancedAuthenticator, too, is found to be one when the broker is made.
type Authenticator interface {
	Authenticate(ctx context.Context, c *Credentials) (*Principal, error)
}

// Credentials is what a client presents.
type Credentials struct {
	ClientID       string // as sent; the empty string asks the server for one
	UserName       string
	Password       []byte
	HasUserName    bool
	HasPassword    bool
	Version        packets.Version
	CleanStart     bool
	RemoteAddr     net.Addr
	Listener       string               // the URL or the name of the listener
	TLS            *tls.ConnectionState // nil without TLS; its PeerCertificates are the client's
	UserProperties []packets.UserProperty
	// Principal is who the client is already: set in a re-authentication, nil in a CONNECT.
	Principal *Principal
}

// Principal is who a client was found to be. It is not changed after Authenticate has returned it.
type Principal struct {
	// Name is what access is granted to; usually the user name.
	Name string
	// Data is the Authenticator's own, for its Authorizer.
	Data any
	// Expires is when the client's right to be connected ends, as that of a token does: the connection
	// is then closed with Maximum connect time (0xA0), unless a re-authentication has returned
	// a later time. The zero value: never.
	Expires time.Time
	// ClientID, if not empty, is the ClientID that the client has instead of the one it sent: one from
	// its certificate, for example. It is not looked at in a re-authentication.
	ClientID string
}

// Action is what a client wants to do with a topic.
type Action byte

// The actions that are authorised.
const (
	ActionPublish Action = iota + 1
	ActionSubscribe
)

// String returns "publish" or "subscribe".
func (a Action) String() string {
	if a == ActionPublish {
		return "publish"
	}
	return "subscribe"
}

// AccessRequest asks whether a client may do something.
type AccessRequest struct {
	ClientID string
	// Principal is the client's. It has a Name and no Data in the will of a client whose node was lost.
	Principal *Principal
	Action    Action
	// Topic is the TopicName of a PUBLISH, after its alias was resolved, or the TopicFilter of a SUBSCRIBE,
	// without "$share/group/".
	Topic  string
	QoS    packets.QoS
	Retain bool   // publish only
	Group  string // share name, subscribe only
	Will   bool   // the message is the client's will
}

// Authorizer decides what a client may publish and subscribe to. It is an optional interface of an Authenticator.
//
// Authorize is called on the connection's own goroutine and may block until ctx ends. nil allows; an *Error chooses the
// reason code, any other error becomes Not authorized (0x87). Publish decisions are cached for a connection, topic by
// topic, until Broker.InvalidateAuthorization is called or a minute has passed; Server unavailable (0x88) is not.
type Authorizer interface {
	Authorize(ctx context.Context, r *AccessRequest) error
}

// anonymous lets everyone in.
type anonymous struct{}

func (anonymous) Authenticate(_ context.Context, c *Credentials) (*Principal, error) {
	return &Principal{Name: c.UserName}, nil
}
