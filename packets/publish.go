package packets

import "encoding/binary"

// Publish carries an application message.
//
// A value may decode one packet after another; it then keeps the room of its lists and allocates nothing.
type Publish struct {
	Dup        bool
	QoS        QoS
	Retain     bool
	TopicName  string // empty only together with a Topic Alias
	PacketID   uint16 // 0 if and only if QoS is 0
	Payload    []byte // empty, after Decode not nil, if the message has none
	Properties Properties
}

// Type returns TypePublish.
func (*Publish) Type() Type { return TypePublish }

// Decode implements Packet. It copies nothing: the Topic Name, the Payload and what is in Properties point into body
// and are valid until body is written to; UserProperties and SubscriptionIdentifiers are valid until the next Decode.
// Clone what must last longer.
//
// Topic Aliases, and the rule that a client sends no Subscription Identifier [MQTT-3.3.4-6], are left to the caller.
func (p *Publish) Decode(h FixedHeader, body []byte, v Version) error {
	r := newReader(h, body, v, TypePublish)
	r.aliased = true
	p.Dup, p.Retain = h.Flags&flagDup != 0, h.Flags&flagRetain != 0
	p.QoS = QoS(h.Flags >> 1 & 3)
	p.TopicName = r.topicName(fieldTopicName)
	p.PacketID = 0
	if p.QoS > 0 {
		p.PacketID = r.packetIdentifier()
	}
	p.Properties.reset()
	if v == V5 {
		p.Properties.decode(&r, place(TypePublish))
	}
	p.checkTopicThere(&r.fault)
	p.Payload = r.b
	return r.result()
}

func (p *Publish) checkTopicThere(f *fault) {
	if p.TopicName == "" && (f.version != V5 || !p.Properties.TopicAlias.Set) {
		p.failNoTopic(f)
	}
}

func (p *Publish) failNoTopic(f *fault) {
	if f.version == V5 {
		f.fail(ProtocolError, fieldTopicName, "must not be empty without a Topic Alias", "section 3.3.2.1")
		return
	}
	f.failEmpty(fieldTopicName)
}

// Append implements Packet. It allocates nothing if dst has room for Size bytes.
func (p *Publish) Append(dst []byte, v Version) ([]byte, error) {
	b, err := p.AppendHeader(dst, v)
	if err != nil {
		return dst, err
	}
	return append(b, p.Payload...), nil
}

// AppendHeader appends everything but the payload, so that a large one can be sent from where it is. After an error
// dst is returned as it came.
func (p *Publish) AppendHeader(dst []byte, v Version) ([]byte, error) {
	f := fault{packet: TypePublish, version: v}
	size := p.check(&f)
	b := appendFixedHeader(dst, &f, TypePublish, p.flags(), p.remaining(v, size))
	if f.err != nil {
		return dst, f.err
	}
	b = appendText(b, p.TopicName)
	if p.QoS > 0 {
		b = binary.BigEndian.AppendUint16(b, p.PacketID)
	}
	if v == V5 {
		b = p.Properties.append(b, size)
	}
	return b, nil
}

// check returns the size of the properties.
func (p *Publish) check(f *fault) int {
	switch {
	case p.QoS > 2:
		f.fail(MalformedPacket, "QoS", "must not be 3", "MQTT-3.3.1-4")
	case p.QoS > 0:
		f.checkPacketIdentifier(p.PacketID)
	case p.Dup:
		f.fail(ProtocolError, "DUP", "must be 0 when QoS is 0", "MQTT-3.3.1-2")
	case p.PacketID != 0:
		f.fail(ProtocolError, fieldPacketIdentifier, "must not be there when QoS is 0",
			f.clause("MQTT-2.3.1-5", "MQTT-2.2.1-2"))
	}
	f.checkTopicName(fieldTopicName, p.TopicName)
	p.checkTopicThere(f)
	if f.version == V5 {
		return p.Properties.check(f, place(TypePublish))
	}
	return 0
}

func (p *Publish) flags() byte {
	flags := byte(p.QoS) << 1
	if p.Dup {
		flags |= flagDup
	}
	if p.Retain {
		flags |= flagRetain
	}
	return flags
}

// remaining returns the Remaining Length, given the size of the properties.
func (p *Publish) remaining(v Version, properties int) int {
	n := 2 + len(p.TopicName) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if v == V5 {
		n += withLength(properties)
	}
	return n
}

// Size returns how many bytes Append would append in version v, payload included.
func (p *Publish) Size(v Version) int {
	n := p.remaining(v, p.Properties.size())
	return 1 + sizeVarint(n) + n
}

// PacketIDOffset returns where in the encoding in version v the two bytes of the Packet Identifier stand, so that one
// encoding can serve many receivers. Encode with any identifier but 0. It is of no use when QoS is 0.
func (p *Publish) PacketIDOffset(v Version) int {
	return 1 + sizeVarint(p.remaining(v, p.Properties.size())) + 2 + len(p.TopicName)
}
