package shoal

import (
	"errors"

	"github.com/shoalmq/shoal/packets"
)

// Answers are made of what authenticators, interceptors and stores return. Here they are made to fit the packet they go into, so that
// none is lost because it cannot be said.

// encodeAnswer encodes a packet with reason codes that its type may carry. What the client can do without is left out if the packet is larger than it
// takes [MQTT-3.1.2-24], [MQTT-3.2.2-19], or if a text of user code cannot be encoded. It fails if the packet is too large all the same.
func (c *conn) encodeAnswer(p packets.Packet) ([]byte, error) {
	var reason *packets.Optional[string]
	var others []*packets.Optional[string]
	switch p := p.(type) {
	case *packets.ConnAck:
		p.ReasonCode = fit(p.ReasonCode, p.Type())
		reason = &p.Properties.ReasonString
		others = []*packets.Optional[string]{&p.Properties.ServerReference, &p.Properties.ResponseInformation}
	case *packets.PubAck:
		reason = &p.Properties.ReasonString
	case *packets.PubRec:
		reason = &p.Properties.ReasonString
	case *packets.SubAck:
		fitAll(p.ReasonCodes, p.Type())
		reason = &p.Properties.ReasonString
	case *packets.UnsubAck:
		fitAll(p.ReasonCodes, p.Type())
		reason = &p.Properties.ReasonString
	case *packets.Disconnect:
		p.ReasonCode = fit(p.ReasonCode, p.Type())
		reason = &p.Properties.ReasonString
		others = []*packets.Optional[string]{&p.Properties.ServerReference}
	}
	b, err := c.encode(p)
	if reason != nil && reason.Set && err != nil {
		*reason = packets.Optional[string]{}
		b, err = c.encode(p)
	}
	if err != nil && len(others) > 0 {
		if !errors.Is(err, errTooLarge) {
			c.logger().Error("a text for a client cannot be encoded and is left out", "packet", p.Type().String(), "error", err)
		}
		for _, text := range others {
			*text = packets.Optional[string]{}
		}
		b, err = c.encode(p)
	}
	return b, err
}

// encode encodes a packet, unless it is larger than the client takes.
func (c *conn) encode(p packets.Packet) ([]byte, error) {
	b, err := packets.Append(nil, p, c.version)
	if err == nil && c.out.Max > 0 && len(b) > c.out.Max {
		return nil, errTooLarge
	}
	return b, err
}

// errTooLarge is the end of a connection whose client is owed a packet that it does not take.
var errTooLarge = &Error{ReasonCode: packets.PacketTooLarge, Reason: "an answer is larger than the Maximum Packet Size of the client"}

func fitAll(codes []packets.ReasonCode, t packets.Type) {
	for i, code := range codes {
		codes[i] = fit(code, t)
	}
}

// fit returns code, or, where packets of type t may not carry it, the one that comes nearest.
func fit(code packets.ReasonCode, t packets.Type) packets.ReasonCode {
	if code.AllowedIn(t) {
		return code
	}
	near := packets.ImplementationSpecificError
	switch code {
	case packets.Banned:
		if near = packets.NotAuthorized; t == packets.TypeDisconnect {
			near = packets.AdministrativeAction
		}
	case packets.BadUserNameOrPassword, packets.BadAuthenticationMethod, packets.ClientIdentifierNotValid:
		near = packets.NotAuthorized
	case packets.MessageRateTooHigh, packets.ReceiveMaximumExceeded, packets.PacketTooLarge, packets.ConnectionRateExceeded:
		near = packets.QuotaExceeded
	case packets.ServerUnavailable, packets.ServerShuttingDown, packets.ServerBusy:
		if near = packets.ServerUnavailable; t == packets.TypeDisconnect {
			near = packets.ServerBusy
		}
	case packets.TopicFilterInvalid, packets.TopicNameInvalid:
		if near = packets.TopicNameInvalid; t == packets.TypeSubAck || t == packets.TypeUnsubAck {
			near = packets.TopicFilterInvalid
		}
	case packets.UnspecifiedError:
		near = packets.UnspecifiedError
	}
	if near.AllowedIn(t) {
		return near
	}
	if packets.ImplementationSpecificError.AllowedIn(t) {
		return packets.ImplementationSpecificError
	}
	return packets.PacketIdentifierNotFound // PUBREL and PUBCOMP know no other
}
