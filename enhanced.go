package shoal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// EnhancedAuthenticator authenticates clients of MQTT 5 by an exchange of AUTH packets (section 4.12). It is an optional interface of an
// Authenticator, found when the broker is made. A client whose CONNECT names an Authentication Method is asked by it alone; Authenticate
// is for all others, those of MQTT 3 among them. Package auth/scram implements it.
type EnhancedAuthenticator interface {
	// AuthenticationMethods returns the names of the methods, as they stand in CONNECT. New calls it, once. A client that names another
	// one is refused with Bad authentication method (0x8C).
	AuthenticationMethods() []string
	// BeginAuthentication begins an exchange with a client that has named one of the methods. c is not changed afterwards and may be kept as
	// long as the exchange; in a re-authentication (section 4.12.1) it is that of the CONNECT, with Principal set. ctx ends when the exchange
	// is over, however it ends.
	//
	// It is called on the connection's own goroutine, as is Step, and fails as Authenticate does.
	BeginAuthentication(ctx context.Context, c *Credentials, method string) (AuthenticationExchange, error)
}

// AuthenticationExchange is one authentication of one client, step by step. Its client must be through within Limits.ConnectTimeout.
type AuthenticationExchange interface {
	// Step takes the Authentication Data of a CONNECT or an AUTH packet, nil if the packet has none, and returns what to answer. It
	// may keep data. An *Error chooses the reason code of the CONNACK, or in a re-authentication of the DISCONNECT, any other error becomes
	// Not authorized (0x87). After an error, or a step that is Done, it is not called again.
	Step(ctx context.Context, data []byte) (AuthenticationStep, error)
}

// AuthenticationStep is the server's turn in an exchange.
type AuthenticationStep struct {
	// Data is the Authentication Data for the client, nil for none: in AUTH with Continue authentication (0x18), or, if Done is set,
	// in the CONNACK, or the AUTH with Success (0x00) that ends a re-authentication.
	Data []byte
	// Done says that the client is authenticated, as Principal; nil stands for one with the client's User Name.
	Done      bool
	Principal *Principal
}

// enhanced is the enhanced authentication of one connection.
type enhanced struct {
	method      string
	credentials *Credentials
	final       []byte // Authentication Data for the CONNACK

	// Of the exchange that is on.
	exchange AuthenticationExchange
	end      context.CancelFunc
	due      time.Time // when it must be over
}

// checkMethods returns what is wrong with the methods of an EnhancedAuthenticator.
func checkMethods(methods []string) error {
	if len(methods) == 0 {
		return errors.New("shoal: WithAuthenticator: AuthenticationMethods is empty; name at least one method, or do not implement EnhancedAuthenticator")
	}
	for i, m := range methods {
		if m == "" || strings.ToValidUTF8(m, "") != m || strings.ContainsRune(m, 0) {
			return fmt.Errorf("shoal: WithAuthenticator: %q in AuthenticationMethods; a method is a text of UTF-8 that is not empty", m)
		}
		if slices.Contains(methods[:i], m) {
			return fmt.Errorf("shoal: WithAuthenticator: %q stands twice in AuthenticationMethods", m)
		}
	}
	return nil
}

// checkMethod refuses methods that nobody knows [MQTT-4.12.0-1].
func (b *Broker) checkMethod(method string) error {
	if slices.Contains(b.methods, method) {
		return nil
	}
	reason := "this server knows no authentication methods; connect without one"
	if len(b.methods) > 0 {
		reason = "this server does not know the authentication method; use " + strings.Join(b.methods, " or ")
	}
	return &Error{ReasonCode: packets.BadAuthenticationMethod, Reason: reason}
}

// authenticateEnhanced authenticates a client that has named a method in its CONNECT. Its time limit is that of ctx.
func (c *conn) authenticateEnhanced(ctx context.Context, cr *Credentials, p *packets.Connect) (*Principal, error) {
	e := &enhanced{method: p.Properties.AuthenticationMethod.Value, credentials: cr}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.enhanced = e
	x, err := c.b.enhanced.BeginAuthentication(ctx, cr, e.method)
	if err != nil {
		return nil, refusal(err, packets.NotAuthorized)
	}
	data := p.Properties.AuthenticationData
	for {
		step, err := x.Step(ctx, data)
		if err != nil {
			return nil, refusal(err, packets.NotAuthorized)
		}
		if step.Done {
			e.final = step.Data
			return principalOr(step.Principal, cr), nil
		}
		if err := c.appendAuth(e, packets.ContinueAuthentication, step.Data); err != nil { // [MQTT-4.12.0-2]
			return nil, err
		}
		c.flush()
		if data, err = c.readAuth(e); err != nil {
			return nil, err
		}
	}
}

// appendAuth appends an AUTH of the exchange [MQTT-4.12.0-5], which must fit into what the client takes [MQTT-3.1.2-24].
func (c *conn) appendAuth(e *enhanced, code packets.ReasonCode, data []byte) error {
	b, err := packets.Append(nil, &packets.Auth{ReasonCode: code, Properties: packets.Properties{
		AuthenticationMethod: packets.Some(e.method), AuthenticationData: data,
	}}, c.version)
	if err != nil {
		return &Error{ReasonCode: packets.ImplementationSpecificError, Err: err}
	}
	if c.out.Max > 0 && len(b) > c.out.Max {
		return &Error{ReasonCode: packets.PacketTooLarge, Reason: fmt.Sprintf("the next step of the authentication has %d bytes, more than the client's Maximum Packet Size", len(b))}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Append(b)
	return nil
}

// errLeft is the end of a connection that its client has taken leave of before the CONNACK.
var errLeft = errors.New("the client disconnected before it was authenticated")

// readAuth waits for the client's next AUTH before CONNACK, when it may send nothing else but DISCONNECT [MQTT-3.1.2-30].
func (c *conn) readAuth(e *enhanced) ([]byte, error) {
	h, body, err := c.nextPacket()
	if err != nil {
		return nil, err
	}
	var p packets.Auth
	switch h.Type {
	case packets.TypeAuth:
		if err = p.Decode(h, body, c.version); err == nil {
			err = e.check(&p, packets.ContinueAuthentication)
		}
	case packets.TypeDisconnect:
		err = errLeft
	default:
		err = &packets.Error{
			Code: packets.ProtocolError, Packet: h.Type, Field: "Packet Type", Problem: "came before CONNACK, where only AUTH and DISCONNECT may",
			Clause: "MQTT-3.1.2-30",
		}
	}
	c.rd.Release()
	return p.Properties.AuthenticationData, err
}

// check holds an AUTH of the client's to what is due.
func (e *enhanced) check(p *packets.Auth, want packets.ReasonCode) error {
	fault := func(code packets.ReasonCode, field, problem, clause string) error {
		return &packets.Error{Code: code, Packet: packets.TypeAuth, Field: field, Problem: problem, Clause: clause}
	}
	if p.ReasonCode != want {
		clause := "MQTT-4.12.0-3"
		if want == packets.ReAuthenticate {
			clause = "MQTT-4.12.1-1"
		}
		return fault(packets.ProtocolError, "Reason Code", fmt.Sprintf("is %v, where %v is due", p.ReasonCode, want), clause)
	}
	if p.Properties.AuthenticationMethod.Value != e.method {
		clause := "MQTT-4.12.0-5"
		if want == packets.ReAuthenticate {
			clause = "MQTT-4.12.1-1"
		}
		return fault(packets.BadAuthenticationMethod, "Authentication Method", "is not that of the CONNECT", clause)
	}
	return nil
}

// handleAuth deals with an AUTH after CONNACK, which begins or carries on a re-authentication. What else the client sends meanwhile is
// handled as ever; until the end it is who it was.
func (c *conn) handleAuth(sc *scratch, p *packets.Auth) (ended, bool) {
	e := c.enhanced
	if e == nil {
		return c.protocolEnd(&packets.Error{
			Code: packets.ProtocolError, Packet: packets.TypeAuth, Field: "Packet Type", Problem: "came on a connection whose CONNECT named no Authentication Method",
			Clause: "MQTT-4.12.0-7",
		}), false
	}
	want := packets.ContinueAuthentication
	if e.exchange == nil {
		want = packets.ReAuthenticate
	}
	if err := e.check(p, want); err != nil {
		return c.protocolEnd(err), false
	}
	sc.flush()
	if err := c.reauthenticate(e, p.Properties.AuthenticationData); err != nil {
		end := c.protocolEnd(err) // [MQTT-4.12.1-2]
		end.reference = referenceOf(err, end.code)
		return end, false
	}
	sc.soil(c)
	return ended{}, true
}

// reauthenticate carries a re-authentication on, or begins it.
func (c *conn) reauthenticate(e *enhanced, data []byte) error {
	if e.exchange == nil {
		e.due = time.Now().Add(c.b.limits.ConnectTimeout)
		ctx, cancel := context.WithDeadline(c.context(), e.due)
		e.end = cancel
		cr := *e.credentials
		cr.Principal = c.principal
		x, err := c.b.enhanced.BeginAuthentication(ctx, &cr, e.method)
		if err != nil {
			return refusal(err, packets.NotAuthorized)
		}
		e.exchange = x
		c.setDeadline(c.nextDue())
	}
	ctx, cancel := context.WithDeadline(c.context(), e.due)
	defer cancel()
	step, err := e.exchange.Step(ctx, data)
	if err != nil {
		return refusal(err, packets.NotAuthorized)
	}
	if !step.Done {
		return c.appendAuth(e, packets.ContinueAuthentication, step.Data)
	}
	c.endReauthentication()
	if err := c.becomes(principalOr(step.Principal, e.credentials)); err != nil {
		return err
	}
	return c.appendAuth(e, packets.Success, step.Data)
}

// endReauthentication ends the exchange that is on, if any: with success, or with the connection.
func (c *conn) endReauthentication() {
	if e := c.enhanced; e != nil && e.end != nil {
		e.end()
		e.exchange, e.end, e.due = nil, nil, time.Time{}
	}
}

// becomes makes the client somebody else, after a re-authentication: what was decided about it before is void.
func (c *conn) becomes(p *Principal) error {
	c.principal = p
	c.who.Store(&identity{c.clientID, p})
	if ban := c.banned(); ban != nil {
		return ban.refusal()
	}
	if err := c.limitPrincipal(p.Name); err != nil {
		return err
	}
	c.authCache = authCache{}
	c.setDeadline(c.nextDue()) // the login may end at another time now
	c.s.mu.Lock()
	w := c.s.will
	current := c.s.conn == c
	c.s.mu.Unlock()
	if w != nil && current && c.will {
		w.setPrincipal(p)
	}
	return nil
}
