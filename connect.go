package shoal

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base32"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// handshake reads the CONNECT and answers it. It returns false when the connection is to end.
func (c *conn) handshake() (ended, bool) {
	p, err := c.readConnect()
	if err != nil {
		return c.refuse(err), false
	}
	c.clientID = p.ClientID
	ctx, cancel := context.WithDeadline(c.context(), c.started.Add(c.b.limits.ConnectTimeout))
	defer cancel()
	if err := c.connect(ctx, p); err != nil {
		return c.refuse(err), false
	}
	c.rd.MaxPacket = int(c.b.limits.MaximumPacketSize)
	c.rd.V31 = c.version == packets.V31
	c.lastRead = time.Now()
	c.lastBytes = c.lastRead
	c.setDeadline(c.nextDue())
	return ended{}, true
}

func (c *conn) readConnect() (*packets.Connect, error) {
	h, body, err := c.nextPacket()
	if err != nil {
		return nil, err
	}
	if h.Type != packets.TypeConnect {
		return nil, &packets.Error{
			Code: packets.ProtocolError, Packet: h.Type, Field: "Packet Type", Problem: "came before CONNECT", Clause: "MQTT-3.1.0-1",
		}
	}
	var p packets.Connect
	err = p.Decode(h, body, 0)
	c.bridge = p.Bridge
	c.version, c.out.Max = p.ProtocolVersion, int(p.Properties.MaximumPacketSize.Or(0)) // as far as it was read
	if err != nil {
		return nil, err
	}
	if v, ok := p.Properties.RequestProblemInformation.Get(); ok {
		c.quiet = v == 0
	}
	c.rd.Release()
	return &p, nil
}

// nextPacket waits for a packet before CONNACK. The caller releases the reader when it has read the body.
func (c *conn) nextPacket() (packets.FixedHeader, []byte, error) {
	for {
		h, body, ok, err := c.rd.Next()
		if ok || err != nil {
			return h, body, err
		}
		if err := c.rd.Fill(); err != nil {
			return h, nil, err
		}
		if k := c.order.Load(); k != nil {
			return h, nil, &Error{ReasonCode: k.code, Reason: k.reason}
		}
	}
}

// refuse answers a CONNECT that is not accepted with a CONNACK, where one is due [MQTT-3.2.2-7], and ends the connection.
func (c *conn) refuse(err error) ended {
	end := ended{code: ReasonCodeOf(err, packets.UnspecifiedError), err: err}
	var perr *packets.Error
	var berr *Error
	switch {
	case errors.As(err, &perr):
		// A client that is not understood gets an answer only if it is one: 5.0 says how; 3.1.1 has just the version's.
		// In the middle of an enhanced authentication it is one.
		known := c.enhanced != nil || perr.Packet == packets.TypeConnect && (c.version == packets.V5 ||
			perr.Code == packets.UnsupportedProtocolVersion || perr.Code == packets.ClientIdentifierNotValid)
		if !known {
			return end
		}
	case errors.As(err, &berr):
	default:
		return end // the connection broke
	}
	ack := packets.ConnAck{ReasonCode: end.code}
	if reason := reasonStringOf(err); reason != "" && c.version >= packets.V5 && !c.quiet {
		ack.Properties.ReasonString = packets.Some(reason)
	}
	ref := referenceOf(err, end.code)
	if ref == "" && end.code == packets.UseAnotherServer && c.b.cluster != nil {
		ref = c.b.cluster.serverReference()
	}
	if ref != "" {
		ack.Properties.ServerReference = packets.Some(ref)
	}
	c.appendPacket(&ack)
	end.notify = true
	return end
}

// connect carries out a well-formed CONNECT.
func (c *conn) connect(ctx context.Context, p *packets.Connect) error {
	if c.own != nil {
		return c.connectOwn(ctx, p)
	}
	if err := c.checkConnect(p); err != nil {
		return err
	}
	if l := c.counted; l != nil && l.refused != nil {
		return l.refused
	}
	if err := c.checkBans(p); err != nil {
		return err
	}
	if c.b.memory.Over() {
		c.b.metrics.noMemory.Add(1)
		return errNoMemory
	}
	principal, err := c.authenticate(ctx, p)
	if err != nil {
		return err
	}
	c.principal = principal
	assigned := p.ClientID == ""
	if id := principal.ClientID; id != "" {
		if p.ClientID, err = id, checkClientID(id); err != nil {
			return err
		}
	} else if assigned {
		p.ClientID = c.b.cfg.customs.newClientID() // [MQTT-3.1.3-6]
	}
	if c.clientID = p.ClientID; isOwn(c.clientID) {
		return errReservedClientID
	}
	c.who.Store(&identity{c.clientID, c.principal})
	if ban := c.banned(); ban != nil {
		return ban.refusal()
	}
	if err := c.limitPrincipal(principal.Name); err != nil {
		return err
	}
	e := &ConnectEvent{
		Client: c.info(), CleanStart: p.CleanStart, SessionExpiryInterval: c.sessionExpiry(p), KeepAlive: p.KeepAlive,
		Will: willMessage(p), UserProperties: p.Properties.UserProperties,
	}
	asked := p.Properties.RequestResponseInformation.Or(0) == 1
	if fn := c.b.cfg.responseInformation; asked && fn != nil {
		e.ResponseInformation = fn(e.Client)
	}
	for _, h := range c.b.hooks.connect {
		if err := h.InterceptConnect(ctx, e); err != nil {
			return refusal(err, packets.NotAuthorized)
		}
	}
	if !asked {
		e.ResponseInformation = "" // [MQTT-3.1.2-28]
	}
	e.SessionExpiryInterval = min(e.SessionExpiryInterval, c.b.limits.SessionExpiryMaximum)
	if limit := c.b.limits.KeepAliveMaximum; limit > 0 && (e.KeepAlive == 0 || e.KeepAlive > limit) {
		e.KeepAlive = limit
	}
	// Keep Alive is 16 bits wide, one and a half times it is not.
	c.keepAlive = time.Duration(e.KeepAlive) * time.Second * 3 / 2
	if cl := c.b.cluster; cl != nil {
		if err := cl.awaitServing(ctx); err != nil {
			return refusal(err, packets.ServerUnavailable)
		}
	}
	if err := c.checkFlapping(); err != nil {
		return err
	}
	return c.b.admit(ctx, c, p, e, assigned)
}

// checkClientID checks a ClientID that an Authenticator has chosen [MQTT-1.5.4-1] [MQTT-1.5.4-2].
func checkClientID(id string) error {
	if len(id) > math.MaxUint16 || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		return &Error{
			ReasonCode: packets.ClientIdentifierNotValid,
			Err:        fmt.Errorf("the Authenticator returned a ClientID of %d bytes that is no UTF-8 string of MQTT", len(id)),
		}
	}
	return nil
}

// checkConnect checks what the codec cannot know.
func (c *conn) checkConnect(p *packets.Connect) error {
	invalid := func(code packets.ReasonCode, field, problem, clause string) error {
		return &packets.Error{Code: code, Packet: packets.TypeConnect, Field: field, Problem: problem, Clause: clause}
	}
	if p.ProtocolVersion < c.b.caps.MinimumVersion {
		return invalid(packets.UnsupportedProtocolVersion, "Protocol Version", "is older than this server's MinimumVersion", "MQTT-3.1.2-2")
	}
	if p.ClientID == "" && !p.CleanStart && p.ProtocolVersion < packets.V5 {
		return invalid(packets.ClientIdentifierNotValid, "Client Identifier", "must not be empty without Clean Session", "MQTT-3.1.3-8")
	}
	if p.ClientID == "" && p.ProtocolVersion == packets.V31 {
		return invalid(packets.ClientIdentifierNotValid, "Client Identifier", "must not be empty in MQTT 3.1", "")
	}
	if c.b.tooManyProperties(&p.Properties) || (p.Will != nil && c.b.tooManyProperties(&p.Will.Properties)) {
		return errTooManyProperties
	}
	if p.Will != nil && c.b.topicTooLong(p.Will.TopicName) {
		return errTopicTooLong
	}
	if w := p.Will; w != nil {
		if err := topics.ValidateName(w.TopicName); err != nil {
			return invalid(packets.TopicNameInvalid, "Will Topic", err.Error(), "MQTT-3.1.3-11")
		}
		if w.QoS > c.b.caps.maximumQoS() {
			return invalid(packets.QoSNotSupported, "Will QoS", "is higher than this server's Maximum QoS", "MQTT-3.2.2-12")
		}
		if w.Retain && c.b.caps.NoRetain {
			return invalid(packets.RetainNotSupported, "Will Retain", "this server retains no messages", "MQTT-3.2.2-13")
		}
	}
	if m, ok := p.Properties.AuthenticationMethod.Get(); ok {
		return c.b.checkMethod(m)
	}
	return nil
}

func (c *conn) authenticate(ctx context.Context, p *packets.Connect) (*Principal, error) {
	cr := &Credentials{
		ClientID: p.ClientID, UserName: p.UserName.Value, HasUserName: p.UserName.Set, Password: p.Password,
		HasPassword: p.Password != nil, Version: p.ProtocolVersion, CleanStart: p.CleanStart, RemoteAddr: c.remote,
		Listener: c.listener, UserProperties: p.Properties.UserProperties,
	}
	switch t := c.nc.(type) {
	case *tls.Conn:
		state := t.ConnectionState()
		cr.TLS = &state
	case interface{ ConnectionState() *tls.ConnectionState }:
		cr.TLS = t.ConnectionState()
	}
	if p.Properties.AuthenticationMethod.Set {
		return c.authenticateEnhanced(ctx, cr, p)
	}
	principal, err := c.b.auth.Authenticate(ctx, cr)
	if err != nil {
		return nil, refusal(err, packets.NotAuthorized)
	}
	return principalOr(principal, cr), nil
}

// principalOr returns p, or, where an Authenticator has named none, one with the client's User Name.
func principalOr(p *Principal, cr *Credentials) *Principal {
	if p == nil {
		return &Principal{Name: cr.UserName}
	}
	return p
}

// refusal makes an *Error of what user code returned.
func refusal(err error, otherwise packets.ReasonCode) error {
	var e *Error
	if errors.As(err, &e) && e.ReasonCode.IsError() {
		return err
	}
	return &Error{ReasonCode: otherwise, Err: err}
}

// sessionExpiry is the Session Expiry Interval asked for, in seconds.
func (c *conn) sessionExpiry(p *packets.Connect) uint32 {
	if p.ProtocolVersion >= packets.V5 {
		return p.Properties.SessionExpiryInterval.Or(0) // [MQTT-3.1.2-11] of its own section: absent is 0
	}
	if p.CleanStart {
		return 0
	}
	return neverExpires
}

func (c *customs) newClientID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	prefix := "auto-"
	if c.idPrefix != nil {
		prefix = *c.idPrefix
	}
	return prefix + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// admit gives the connection its session and answers with CONNACK.
func (b *Broker) admit(ctx context.Context, c *conn, p *packets.Connect, e *ConnectEvent, assigned bool) (err error) {
	release, err := b.sessions.claim(p.ClientID, ctx.Done())
	if err != nil {
		return &Error{ReasonCode: packets.ServerBusy, Reason: "another connection of this client is being set up"}
	}
	defer release()
	if _, err := c.encodeAnswer(c.connAck(p, e, assigned, false)); err != nil {
		return err // before the client's session is touched
	}
	w := newWill(b, c, p, e.Will)
	var epoch uint64
	old := b.sessions.get(p.ClientID)
	if old != nil && !old.madeBy().admits(c.maker()) {
		return errNotYours
	}
	if old == nil && !b.mayMakeSession(p.ClientID, c.maker()) {
		return errTooManySessions // before the cluster is asked
	}
	if b.cluster != nil {
		defer func() {
			if err != nil && w != nil && w.epoch != 0 {
				b.cluster.willDone(p.ClientID, w.epoch) // of a connection that never came to be
			}
		}()
		if epoch, old, err = b.cluster.claim(ctx, p.ClientID, c.maker(), p.CleanStart, e.SessionExpiryInterval, w); err != nil {
			return refusal(err, packets.ServerUnavailable)
		}
		if old != nil && !old.madeBy().admits(c.maker()) { // it was with a store that all nodes share, and the cluster knew nothing of it
			return errNotYours
		}
	}
	s, present, err := b.takeSession(ctx, p.ClientID, c.maker(), old, p.CleanStart)
	if err != nil {
		return err
	}
	if ctx.Err() != nil { // the client's old connection may not have ended: nobody waited for that
		if !present {
			s.end()
		}
		return &Error{ReasonCode: packets.ServerUnavailable, Reason: "the connection was told to end while it was being set up"}
	}
	if log := b.journal.storeLog(); log != nil && e.SessionExpiryInterval > 0 && !present && log.full() {
		s.end()
		return errStoreAway // it may fail for long, and clients may be many
	}
	if err := b.keepFirst(ctx, s, epoch, e, present); err != nil {
		return err
	}
	if present {
		if denied := s.denied(ctx, c.principal); len(denied) > 0 {
			s.revoke(denied)
		}
	}
	b.keepWill(ctx, w, c.durability)
	defer func() {
		if err != nil && w != nil {
			w.withdraw()
		}
	}()
	ack := c.connAck(p, e, assigned, present)

	s.mu.Lock()
	if b.cluster != nil && !b.cluster.state.holds(b.cluster.self.Name, s.clientID, epoch) {
		// Whoever claims after this sees the connection and fences it; so does the cluster when it gives this node up.
		s.mu.Unlock()
		return errOutclaimed
	}
	if !s.enter(phaseHome) { // it expired in between, because the connection that had it did not let go in time
		s.mu.Unlock()
		return &Error{ReasonCode: packets.ServerBusy, Reason: "the session ended while it was being taken; connect again"}
	}
	s.stopExpiry()
	s.conn, s.expiry, s.will, s.epoch, s.held = c, e.SessionExpiryInterval, w, epoch, epoch
	if !s.maker.known {
		s.maker = c.maker()
	}
	s.enrol() // one that has come from elsewhere may be another tenant's than was known
	if b.cluster != nil {
		c.since = b.cluster.moments.next()
	}
	c.s, c.will = s, w != nil
	wasDurable := s.durable
	if durable := b.journal != nil && s.expiry > 0; durable != wasDurable {
		s.setDurable(durable)
	}
	if s.durable && !wasDurable {
		s.b.journal.whole(s)
	} else if wasDurable {
		s.logMeta()
	}
	c.appendPacket(ack)
	s.core.Attach(core.Conn{
		Taker:             c.taker(s),
		Version:           p.ProtocolVersion,
		ReceiveMaximum:    min(int(p.Properties.ReceiveMaximum.Or(65535)), int(b.limits.InFlight)),
		MaximumPacketSize: int(p.Properties.MaximumPacketSize.Or(0)),
		TopicAliasMaximum: min(p.Properties.TopicAliasMaximum.Or(0), b.limits.OutboundTopicAliases),
	})
	s.setOnline(true)
	released, kept := s.core.Released(), s.durable
	s.pump(b.nano())
	s.mu.Unlock()

	c.established = true
	c.resumeRels(released, kept)
	c.flush()
	b.log.Debug("client connected", "client_id", c.clientID, "version", p.ProtocolVersion, "session_present", present)
	c.observeConnected(present, p.CleanStart)
	s.refreshGroups()
	c.kickBanned() // if that happened meanwhile
	return nil
}

// takeSession returns the client's session, or a new one if old is nil or over, after a connection that still has it was ended. The caller
// has the claim on the ClientID, for a client that is m.
func (b *Broker) takeSession(ctx context.Context, id string, m maker, old *session, cleanStart bool) (s *session, present bool, err error) {
	if old != nil && !b.evict(ctx, old, cleanStart) {
		return old, true, nil
	}
	if old != nil && old.isElsewhere() {
		return nil, false, errOutclaimed
	}
	if left := b.sessions.get(id); left != nil && left != old { // by an earlier move
		left.abandon()
		b.evict(ctx, left, true)
	}
	s = b.newSession(id)
	if !s.enrolNew(m) {
		return nil, false, errTooManySessions
	}
	b.sessions.put(s)
	return s, false, nil
}

// evict ends the connection that has the session, if any, after it was heard out (see hearout.go), and, if discard is set or it was to end with
// its connection, the session. It reports whether the session is over. When it returns, nothing more comes from the old connection.
func (b *Broker) evict(ctx context.Context, s *session, discard bool) (over bool) {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	return b.evictConn(ctx, s, c, discard)
}

// evictConn is evict of the connection c, nil for none. If the session has another one by now, that stays.
func (b *Broker) evictConn(ctx context.Context, s *session, c *conn, discard bool) (over bool) {
	if c != nil {
		c.hearOut(ctx)
	}
	s.mu.Lock()
	if s.conn != nil && s.conn != c {
		s.mu.Unlock()
		return false
	}
	s.takeConn()
	cut, w := s.leaving, s.will
	if s.cleared != nil {
		cleared := s.cleared
		s.mu.Unlock()
		select {
		case <-cleared: // so that a message is not taken for delivered because the old session matches
		case <-ctx.Done():
		}
		return true
	}
	over = discard || s.expiry == 0
	s.will = nil
	if !over {
		s.startExpiry(time.Duration(s.expiry) * time.Second) // until it is taken
	}
	s.mu.Unlock()
	if cut != nil {
		cut.kick(kicked{code: packets.SessionTakenOver, reason: reasonTakenOver})
		if cut.awaitStopped(ctx, cutOffTime) {
			s.mu.Lock()
			s.leaving = nil
			s.mu.Unlock()
			if w != nil && (!cut.will || b.cfg.customs.noWillOnTakeover) {
				w.void() // the client had taken its leave, or is back
				w = nil
			}
		}
	}
	if w != nil {
		w.replaced(over)
	}
	if over {
		s.end()
	}
	return over
}
