package shoal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// Ban keeps clients out: one ClientID, one principal, or all of one range of addresses. Exactly one of the three is set.
type Ban struct {
	ClientID string
	// Principal is a Principal's Name. A CONNECT with it as User Name is refused, too, without asking the Authenticator.
	Principal string
	// Address is where clients come from: netip.MustParsePrefix("192.0.2.0/24"), or a single address with all its bits.
	Address netip.Prefix
	// Until is when the ban ends; the zero time is never.
	Until time.Time
	// Reason is told to the banned in a Reason String (v5).
	Reason string
}

// maxBans is how many bans a broker, or a cluster, keeps.
const maxBans = 100_000

// Ban keeps clients out from now on and disconnects those that are connected: a CONNECT is answered with Banned (0x8A); a client that is connected
// gets a DISCONNECT with Administrative action (0x98), since that packet knows no Banned. Their sessions stay. A ban of the same clients
// takes the place of an earlier one.
//
// In a cluster the ban holds on all nodes when Ban returns without an error. It lasts as what the cluster keeps lasts; alone, as what is in the
// storage. No more than 100,000 bans are kept; beyond that Ban fails with Quota exceeded (0x97).
func (b *Broker) Ban(ctx context.Context, ban Ban) error {
	_, err := b.changeBan(ctx, ban, false)
	return err
}

// Unban ends the ban of the same clients and reports whether there was one. Until and Reason of ban are not looked at.
func (b *Broker) Unban(ctx context.Context, ban Ban) (found bool, err error) {
	return b.changeBan(ctx, ban, true)
}

// Bans returns the bans that hold now, in a fixed order.
func (b *Broker) Bans() []Ban { return b.bans.list(time.Now()) }

func (b *Broker) changeBan(ctx context.Context, ban Ban, lift bool) (found bool, err error) {
	if err := b.running(); err != nil {
		return false, err
	}
	now := time.Now()
	if ban, err = ban.normal(now, lift); err != nil {
		return false, err
	}
	if b.cluster != nil {
		result, err := b.cluster.c.Propose(ctx, banCommand(ban, lift, now))
		if err != nil {
			return false, err
		}
		if err, failed := result.(error); failed {
			return false, err
		}
		found, _ = result.(bool)
		if err := b.cluster.c.Barrier(ctx); err != nil { // every node knows
			return found, err
		}
		if b.journal.common != nil {
			return found, b.cluster.keeper.askKeeper(ctx, 0)
		}
		return found, nil
	}
	if found, err = b.applyBan(ban, lift, now); err != nil || b.journal == nil {
		return found, err
	}
	return found, b.journal.flush(ctx, b.durability)
}

// applyBan makes or lifts a ban. In a cluster it is called in the agreed order, with the time of whoever proposed it, so that all nodes do
// the same.
func (b *Broker) applyBan(ban Ban, lift bool, now time.Time) (found bool, err error) {
	change := func() (ops []Op) {
		var swept []Ban
		if found, swept, err = b.bans.change(ban, lift, now); err != nil {
			return nil
		}
		for _, s := range swept {
			ops = append(ops, s.op(true))
		}
		return append(ops, ban.op(lift))
	}
	if b.cluster != nil {
		b.cluster.keeper.keep(change)
	} else if ops := change(); err == nil && b.journal != nil {
		b.journal.own.write(ops...)
	}
	if err != nil {
		return false, err
	}
	if !lift {
		b.disconnectBanned(&ban)
	}
	return found, nil
}

// normal checks a ban and brings it into the form in which it is compared.
func (ban Ban) normal(now time.Time, lift bool) (Ban, error) {
	set := 0
	for _, is := range []bool{ban.ClientID != "", ban.Principal != "", ban.Address.IsValid()} {
		if is {
			set++
		}
	}
	if set != 1 {
		return ban, errors.New("shoal: Ban: set exactly one of ClientID, Principal and Address")
	}
	if ban.Address.IsValid() {
		ban.Address = normalPrefix(ban.Address)
	}
	const longest = 65_535 // of any string of MQTT
	if name := ban.ClientID + ban.Principal; len(name) > longest || len(ban.Reason) > longest {
		return ban, fmt.Errorf("shoal: Ban: a name of %d bytes and a Reason of %d; at most %d each are possible", len(name), len(ban.Reason), longest)
	}
	if lift {
		return Ban{ClientID: ban.ClientID, Principal: ban.Principal, Address: ban.Address}, nil
	}
	if !ban.Until.IsZero() && !ban.Until.After(now) {
		return ban, errors.New("shoal: Ban: Until has passed; leave it zero for a ban without an end")
	}
	if !ban.Until.IsZero() {
		ban.Until = time.Unix(0, ban.Until.UnixNano())
	}
	ban.Reason = strings.ReplaceAll(strings.ToValidUTF8(ban.Reason, "?"), "\x00", "?")
	return ban, nil
}

// normalPrefix is p without bits behind the prefix, and as IPv4 where it is one in IPv6's clothes.
func normalPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// active reports whether the ban has not ended.
func (ban *Ban) active(now time.Time) bool { return ban.Until.IsZero() || now.Before(ban.Until) }

// refusal is what the banned are told.
func (ban *Ban) refusal() *Error {
	text := "this client is banned"
	switch {
	case ban.Principal != "":
		text = "this user is banned"
	case ban.Address.IsValid():
		text = "this address is banned"
	}
	if !ban.Until.IsZero() {
		text += " until " + ban.Until.UTC().Format(time.RFC3339)
	}
	if ban.Reason != "" {
		text += ": " + ban.Reason
	}
	return &Error{ReasonCode: packets.Banned, Reason: text}
}

// remoteIP is where a connection comes from, invalid where that is no IP address.
func remoteIP(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	if p, err := netip.ParseAddrPort(a.String()); err == nil {
		return p.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// checkBans refuses a CONNECT whose client is banned, as far as is known before authentication.
func (c *conn) checkBans(p *packets.Connect) error {
	if ban := c.b.bans.find(p.ClientID, p.UserName.Value, remoteIP(c.remote), time.Now()); ban != nil {
		return ban.refusal()
	}
	return nil
}

// identity is who a connection's client is, once that is known.
type identity struct {
	clientID  string
	principal *Principal
}

// banned returns the ban of a client that has a Principal.
func (c *conn) banned() *Ban {
	return c.b.bans.find(c.clientID, c.principal.Name, remoteIP(c.remote), time.Now())
}

// kickBanned ends a connection whose client was banned while it connected.
func (c *conn) kickBanned() {
	if ban := c.banned(); ban != nil {
		c.kick(ban.kick())
	}
}

func (ban *Ban) kick() kicked { return kicked{code: packets.Banned, reason: ban.refusal().Reason} }

// disconnectBanned ends the connections that a ban is about. Those that are being set up find it themselves.
func (b *Broker) disconnectBanned(ban *Ban) {
	if ban.ClientID != "" {
		s := b.sessions.get(ban.ClientID)
		if s == nil {
			return
		}
		s.mu.Lock()
		c := s.conn
		s.mu.Unlock()
		if c != nil {
			c.kick(ban.kick())
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if ban.Address.IsValid() && ban.Address.Contains(remoteIP(c.remote)) {
			c.kick(ban.kick())
			continue
		}
		if who := c.who.Load(); who != nil && ban.Principal != "" && who.principal.Name == ban.Principal {
			c.kick(ban.kick())
		}
	}
}

// disconnectAllBanned ends the connections of everybody who is banned, after all bans were replaced.
func (b *Broker) disconnectAllBanned() {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		who := c.who.Load()
		if who == nil {
			continue
		}
		if ban := b.bans.find(who.clientID, who.principal.Name, remoteIP(c.remote), now); ban != nil {
			c.kick(ban.kick())
		}
	}
}
