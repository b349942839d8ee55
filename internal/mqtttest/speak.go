package mqtttest

import "github.com/shoalmq/shoal/packets"

// Connect sends a CONNECT and returns the CONNACK, which must accept it.
func (c *Client) Connect(p *packets.Connect) *packets.ConnAck {
	c.t.Helper()
	ack := c.TryConnect(p)
	if ack.ReasonCode != packets.Success {
		c.fatalf("CONNACK with %v (%q)", ack.ReasonCode, ack.Properties.ReasonString.Value)
	}
	return ack
}

// TryConnect sends a CONNECT and returns the CONNACK. Nothing may come before it [MQTT-3.2.0-1].
func (c *Client) TryConnect(p *packets.Connect) *packets.ConnAck {
	c.t.Helper()
	if p.ClientID != "" {
		c.name = p.ClientID
	}
	c.MaxPacket = int(p.Properties.MaximumPacketSize.Or(0))
	c.Send(p)
	first := c.Next()
	ack, ok := first.(*packets.ConnAck)
	if !ok {
		c.fatalf("awaiting CONNACK, got %+v", first)
	}
	return ack
}

// Disconnect sends a DISCONNECT and waits until the broker has closed the connection. Messages that come before that are dropped.
func (c *Client) Disconnect() {
	c.t.Helper()
	c.DisconnectWith(&packets.Disconnect{})
}

// DisconnectWith is Disconnect with another packet.
func (c *Client) DisconnectWith(p *packets.Disconnect) {
	c.t.Helper()
	c.Send(p)
	for {
		p, err := c.read(c.Timeout)
		if err != nil && closed(err) {
			break
		}
		if err != nil {
			c.fatalf("awaiting the end after DISCONNECT: %v", err)
		}
		switch p.(type) {
		case *packets.Publish, *packets.PubRel:
		default:
			c.fatalf("awaiting the end after DISCONNECT, got %+v", p)
		}
	}
	c.Close()
}

// ID returns a new packet identifier.
func (c *Client) ID() uint16 {
	if c.lastID++; c.lastID == 0 {
		c.lastID = 1
	}
	return c.lastID
}

// Subscribe subscribes to filters with qos, all of which must be granted as asked.
func (c *Client) Subscribe(qos packets.QoS, filters ...string) {
	c.t.Helper()
	p := new(packets.Subscribe)
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: f, QoS: qos})
	}
	for i, code := range c.SubscribeWith(p).ReasonCodes {
		if code != packets.ReasonCode(qos) {
			c.fatalf("SUBACK for %q with %v", filters[i], code)
		}
	}
}

// SubscribeWith sends p with a new packet identifier and returns the answer.
func (c *Client) SubscribeWith(p *packets.Subscribe) *packets.SubAck {
	c.t.Helper()
	p.PacketID = c.ID()
	c.Send(p)
	ack := Expect[*packets.SubAck](c)
	if ack.PacketID != p.PacketID || len(ack.ReasonCodes) != len(p.Subscriptions) {
		c.fatalf("SUBACK %+v does not answer SUBSCRIBE %+v", ack, p)
	}
	return ack
}

// Unsubscribe sends an UNSUBSCRIBE and returns the reason codes: in MQTT 3, which has none, nil.
func (c *Client) Unsubscribe(filters ...string) []packets.ReasonCode {
	c.t.Helper()
	id := c.ID()
	c.Send(&packets.Unsubscribe{PacketID: id, TopicFilters: filters})
	ack := Expect[*packets.UnsubAck](c)
	if ack.PacketID != id {
		c.fatalf("UNSUBACK of %d, awaited %d", ack.PacketID, id)
	}
	return ack.ReasonCodes
}

// Publish publishes and waits for what the QoS asks for: PUBACK, or PUBREC and PUBCOMP. It returns the reason code of the PUBACK
// or PUBREC; after an error in PUBREC the exchange is over.
func (c *Client) Publish(qos packets.QoS, topic, payload string) packets.ReasonCode {
	c.t.Helper()
	return c.PublishWith(&packets.Publish{QoS: qos, TopicName: topic, Payload: []byte(payload)})
}

// PublishWith is Publish of p, whose packet identifier is set here.
func (c *Client) PublishWith(p *packets.Publish) packets.ReasonCode {
	c.t.Helper()
	c.PublishAsync(p)
	return c.Published(p)
}

// PublishAsync sends p with a new packet identifier, and does not wait. See Published.
func (c *Client) PublishAsync(p *packets.Publish) {
	c.t.Helper()
	if p.QoS > 0 {
		p.PacketID = c.ID()
	}
	c.Send(p)
}

// Published waits for the acknowledgement of p, as Publish does.
func (c *Client) Published(p *packets.Publish) packets.ReasonCode {
	c.t.Helper()
	switch p.QoS {
	case 1:
		ack := Expect[*packets.PubAck](c)
		if ack.PacketID != p.PacketID {
			c.fatalf("PUBACK of %d, awaited %d", ack.PacketID, p.PacketID)
		}
		return ack.ReasonCode
	case 2:
		rec := Expect[*packets.PubRec](c)
		if rec.PacketID != p.PacketID {
			c.fatalf("PUBREC of %d, awaited %d", rec.PacketID, p.PacketID)
		}
		if rec.ReasonCode.IsError() {
			return rec.ReasonCode
		}
		c.Send(&packets.PubRel{PacketID: p.PacketID})
		comp := Expect[*packets.PubComp](c)
		if comp.PacketID != p.PacketID || comp.ReasonCode != packets.Success {
			c.fatalf("PUBCOMP %+v, awaited %d", comp, p.PacketID)
		}
		return rec.ReasonCode
	}
	return packets.Success
}

// Quiesce exchanges a PINGREQ and its answer, so that the broker has handled everything that was sent before. PUBLISH packets that come
// meanwhile are kept for ExpectPublish.
func (c *Client) Quiesce() {
	c.t.Helper()
	c.Send(&packets.PingReq{})
	c.Expect(packets.TypePingResp)
}

// TakenOver reports whether another connection has taken the session: a DISCONNECT with that reason has come or comes
// in answer to a PINGREQ.
func (c *Client) TakenOver() bool {
	c.t.Helper()
	b, err := packets.Append(nil, &packets.PingReq{}, c.Version)
	if err != nil {
		c.fatalf("encode PINGREQ: %v", err)
	}
	_ = c.TrySend(b) // on a closed connection the read tells
	p, err := c.next(c.Timeout)
	if err != nil {
		c.fatalf("awaiting PINGRESP or DISCONNECT: %v", err)
	}
	switch p := p.(type) {
	case *packets.PingResp:
		return false
	case *packets.Disconnect:
		if p.ReasonCode == packets.SessionTakenOver {
			return true
		}
	}
	c.fatalf("awaiting PINGRESP or DISCONNECT, got %+v", p)
	return false
}
