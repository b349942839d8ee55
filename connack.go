package shoal

import "github.com/shoalmq/shoal/packets"

// connAck makes the answer to an accepted CONNECT.
func (c *conn) connAck(p *packets.Connect, e *ConnectEvent, assigned, present bool) *packets.ConnAck {
	ack := &packets.ConnAck{SessionPresent: present}
	if p.ProtocolVersion < packets.V5 {
		return ack
	}
	b := c.b
	pr := &ack.Properties
	if asked := p.Properties.SessionExpiryInterval.Or(0); asked != e.SessionExpiryInterval {
		pr.SessionExpiryInterval = packets.Some(e.SessionExpiryInterval)
	}
	pr.ReceiveMaximum = packets.Some(b.limits.ReceiveMaximum)
	pr.MaximumPacketSize = packets.Some(b.limits.MaximumPacketSize)
	if n := b.limits.TopicAliasMaximum; n > 0 {
		pr.TopicAliasMaximum = packets.Some(n)
	}
	if q := b.caps.maximumQoS(); q < 2 {
		pr.MaximumQoS = packets.Some(byte(q))
	}
	off := func(unavailable bool) (o packets.Optional[byte]) {
		if unavailable {
			o = packets.Some(byte(0))
		}
		return o
	}
	if a := c.enhanced; a != nil { // [MQTT-4.12.0-5, -6]
		pr.AuthenticationMethod, pr.AuthenticationData = packets.Some(a.method), a.final
	}
	pr.RetainAvailable = off(b.caps.NoRetain)
	pr.WildcardSubscriptionAvailable = off(b.caps.NoWildcardSubscriptions)
	pr.SubscriptionIdentifierAvailable = off(b.caps.NoSubscriptionIdentifiers)
	pr.SharedSubscriptionAvailable = off(b.caps.NoSharedSubscriptions)
	if e.ResponseInformation != "" {
		pr.ResponseInformation = packets.Some(e.ResponseInformation)
	}
	if assigned {
		pr.AssignedClientIdentifier = packets.Some(p.ClientID)
	}
	if e.KeepAlive != p.KeepAlive {
		pr.ServerKeepAlive = packets.Some(e.KeepAlive)
	}
	return ack
}
