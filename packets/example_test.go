package packets_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/shoalmq/shoal/packets"
)

// A reader of a connection keeps what has arrived in a buffer and takes packet after packet from its front.
func Example() {
	buf, err := (&packets.Publish{
		QoS: 1, PacketID: 10, TopicName: "a/b", Payload: []byte("hello"),
		Properties: packets.Properties{ContentType: packets.Some("text/plain")},
	}).Append(nil, packets.V5)
	if err != nil {
		fmt.Println(err)
		return
	}
	buf = append(buf, 0xC0) // half a PINGREQ

	var p packets.Publish
	for {
		h, err := packets.ParseFixedHeader(buf)
		if errors.Is(err, packets.ErrIncomplete) || err == nil && len(buf) < h.Size+h.Remaining {
			fmt.Println("read more")
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := p.Decode(h, buf[h.Size:h.Size+h.Remaining], packets.V5); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v %s: %s (%s)\n", h.Type, p.TopicName, p.Payload, p.Properties.ContentType.Or("bytes"))
		buf = buf[h.Size+h.Remaining:]
	}
	// Output:
	// PUBLISH a/b: hello (text/plain)
	// read more
}

func ExampleRead() {
	stream := bytes.NewReader([]byte{0x20, 3, 0, 0x87, 0})
	p, err := packets.Read(stream, packets.V5, 1024)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Type(), p.(*packets.ConnAck).ReasonCode)
	// Output: CONNACK Not authorized
}

func ExampleError() {
	_, err := packets.Read(bytes.NewReader([]byte{0x36, 0}), packets.V5, 0)
	var refused *packets.Error
	if errors.As(err, &refused) {
		fmt.Println(err)
		fmt.Printf("0x%02X %v\n", byte(refused.Code), refused.Code)
	}
	// Output:
	// PUBLISH: QoS: must not be 3 [MQTT-3.3.1-4]
	// 0x81 Malformed Packet
}
