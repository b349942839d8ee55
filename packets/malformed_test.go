package packets_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// TestMalformed holds one rule per line: which reason code, on which field, by which clause.
func TestMalformed(t *testing.T) {
	for _, m := range malformed {
		t.Run(m.version.String()+" "+m.name, func(t *testing.T) {
			_, err := decode(unhex(t, m.hex), m.version)
			var typed *packets.Error
			require.ErrorAs(t, err, &typed)
			require.Equal(t, m.code.String(), typed.Code.String(), err)
			require.Equal(t, m.field, typed.Field, err)
			require.Equal(t, m.clause, typed.Clause, err)
			require.Equal(t, m.code == packets.MalformedPacket, errors.Is(err, packets.ErrMalformed))
			require.Equal(t, m.code == packets.ProtocolError, errors.Is(err, packets.ErrProtocol))
		})
	}
}

// TestDecodeForeignHeader holds that a value does not decode what is not its own.
func TestDecodeForeignHeader(t *testing.T) {
	for pt := packets.TypeConnect; pt <= packets.TypeAuth; pt++ {
		h, err := packets.ParseFixedHeader([]byte{0xC0, 0})
		require.NoError(t, err)
		if err = packets.New(pt).Decode(h, nil, packets.V5); pt == packets.TypePingReq {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, packets.ErrMalformed)
		require.ErrorContains(t, err, "is PINGREQ")
	}
}

const (
	malformedPacket = packets.MalformedPacket
	protocolError   = packets.ProtocolError

	name311 = "0004 4D515454 04"
	name5   = "0004 4D515454 05"
)

var malformed = []struct {
	name    string
	version packets.Version
	hex     string
	code    packets.ReasonCode
	field   string
	clause  string
}{
	// The fixed header.
	{"type 0", packets.V5, "00 00", malformedPacket, "Packet Type", "MQTT-2.1.3-1"},
	{"CONNECT flags", packets.V5, "11 00", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"CONNACK flags", packets.V5, "21 00", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"PUBACK flags", packets.V5, "42 02 0001", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"PUBREC flags", packets.V5, "58 02 0001", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"PUBREL flags", packets.V5, "60 02 0001", malformedPacket, "Flags", "MQTT-3.6.1-1"},
	{"PUBREL flags", packets.V31, "68 02 0001", malformedPacket, "Flags", "MQTT-3.6.1-1"},
	{"PUBCOMP flags", packets.V5, "72 02 0001", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"SUBSCRIBE flags", packets.V5, "80 00", malformedPacket, "Flags", "MQTT-3.8.1-1"},
	{"SUBSCRIBE flags", packets.V311, "8A 00", malformedPacket, "Flags", "MQTT-3.8.1-1"},
	{"SUBACK flags", packets.V5, "94 00", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"UNSUBSCRIBE flags", packets.V5, "A3 00", malformedPacket, "Flags", "MQTT-3.10.1-1"},
	{"UNSUBACK flags", packets.V5, "B1 00", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"PINGREQ flags", packets.V5, "C1 00", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"PINGREQ flags", packets.V31, "C1 00", malformedPacket, "Flags", "MQTT-2.2.2-1"},
	{"PINGRESP flags", packets.V5, "D1 00", malformedPacket, "Flags", "MQTT-2.1.3-1"},
	{"DISCONNECT flags", packets.V5, "E1 00", malformedPacket, "Flags", "MQTT-3.14.1-1"},
	{"AUTH flags", packets.V5, "F1 00", malformedPacket, "Flags", "MQTT-3.15.1-1"},
	{"length not minimal", packets.V5, "C0 80 00", malformedPacket, "Remaining Length", "MQTT-1.5.5-1"},
	{"length not minimal", packets.V5, "C0 FF FF FF 00", malformedPacket, "Remaining Length", "MQTT-1.5.5-1"},
	{"length of five bytes", packets.V5, "30 80 80 80 80 01", malformedPacket, "Remaining Length", "MQTT-1.5.5-1"},
	{"body longer than announced", packets.V5, "C0 00 00", malformedPacket, "Remaining Length", "section 2.1.4"},
	{"body shorter than announced", packets.V5, "C0 01", malformedPacket, "Remaining Length", "section 2.1.4"},

	// Strings.
	{"ill-formed topic", packets.V5, "30 05 0001 FF 00 00", malformedPacket, "Topic Name", "MQTT-1.5.4-1"},
	{"ill-formed topic", packets.V311, "30 04 0001 FF 00", malformedPacket, "Topic Name", "MQTT-1.5.3-1"},
	{"overlong topic", packets.V5, "30 05 0002 C0 80 00", malformedPacket, "Topic Name", "MQTT-1.5.4-1"},
	{"surrogate", packets.V5, "30 06 0003 EDA080 00", malformedPacket, "Topic Name", "MQTT-1.5.4-1"},
	{"beyond U+10FFFF", packets.V5, "30 07 0004 F4908080 00", malformedPacket, "Topic Name", "MQTT-1.5.4-1"},
	{"U+0000 in a topic", packets.V5, "30 06 0003 610062 00", malformedPacket, "Topic Name", "MQTT-1.5.4-2"},
	{"U+0000 in a topic", packets.V311, "30 05 0003 610062", malformedPacket, "Topic Name", "MQTT-1.5.3-2"},
	{"U+0000 behind a wide character", packets.V5, "30 06 0003 C3A900 00", malformedPacket, "Topic Name", "MQTT-1.5.4-2"},
	{"ill-formed user property", packets.V5, "30 0B 0001 61 07 26 0001 61 0001 80", malformedPacket, "User Property", "MQTT-1.5.4-1"},
	{"ill-formed client identifier", packets.V311, "10 0D" + name311 + "02 0000 0001 FF", malformedPacket, "Client Identifier", "MQTT-1.5.3-1"},
	{"ill-formed will topic", packets.V311, "10 11" + name311 + "06 0000 0000 0001 FF 0000", malformedPacket, "Will Topic", "MQTT-1.5.3-1"},
	{"ill-formed user name", packets.V311, "10 0F" + name311 + "82 0000 0000 0001 FF", malformedPacket, "User Name", "MQTT-1.5.3-1"},
	{"ill-formed subscription filter", packets.V311, "82 06 0001 0001 FF 00", malformedPacket, "Topic Filter", "MQTT-1.5.3-1"},
	{"ill-formed unsubscribe filter", packets.V5, "A2 06 0001 00 0001 FF", malformedPacket, "Topic Filter", "MQTT-1.5.4-1"},
	{"string beyond the end", packets.V5, "30 03 0002 61", malformedPacket, "Topic Name", "MQTT-4.13.1-1"},
	{"string beyond the end", packets.V311, "30 03 0002 61", malformedPacket, "Topic Name", "MQTT-4.8.0-1"},
	{"half a length", packets.V311, "30 01 00", malformedPacket, "Topic Name", "MQTT-4.8.0-1"},

	// Properties.
	{"no property length", packets.V5, "30 03 0001 61", malformedPacket, "Property Length", "MQTT-4.13.1-1"},
	{"property length beyond the end", packets.V5, "30 04 0001 61 01", malformedPacket, "Property Length", "MQTT-4.13.1-1"},
	{"property length not minimal", packets.V5, "30 05 0001 61 8000", malformedPacket, "Property Length", "MQTT-1.5.5-1"},
	{"property length of five bytes", packets.V5, "30 08 0001 61 8080808001", malformedPacket, "Property Length", "MQTT-1.5.5-1"},
	{"property beyond the property length", packets.V5, "30 07 0001 61 02 23 0001", malformedPacket, "Topic Alias", "MQTT-4.13.1-1"},
	{"half a number", packets.V5, "30 07 0001 61 03 02 0001", malformedPacket, "Message Expiry Interval", "MQTT-4.13.1-1"},
	{"property 0", packets.V5, "30 06 0001 61 02 00 00", malformedPacket, "Property Identifier", "section 2.2.2.2"},
	{"property 4", packets.V5, "30 06 0001 61 02 04 00", malformedPacket, "Property Identifier", "section 2.2.2.2"},
	{"property 43", packets.V5, "30 06 0001 61 02 2B 00", malformedPacket, "Property Identifier", "section 2.2.2.2"},
	{"property 257", packets.V5, "30 07 0001 61 03 8102 00", malformedPacket, "Property Identifier", "section 2.2.2.2"},
	{"property identifier not minimal", packets.V5, "30 07 0001 61 03 8100 00", malformedPacket, "Property Identifier", "MQTT-1.5.5-1"},
	{"twice in PUBLISH", packets.V5, "30 08 0001 61 04 0100 0100", protocolError, "Payload Format Indicator", "section 3.3.2.3"},
	{"twice in CONNECT", packets.V5, "10 13" + name5 + "02 0000 06 210001 210001 0000", protocolError, "Receive Maximum", "section 3.1.2.11"},
	{"twice in the will", packets.V5, "10 17" + name5 + "06 0000 00 0000 04 0100 0100 0001 61 0000", protocolError, "Will Properties, Payload Format Indicator", "section 3.1.3.2"},
	{"two subscription identifiers in SUBSCRIBE", packets.V5, "82 0B 0001 04 0B01 0B02 0001 61 00", protocolError, "Subscription Identifier", "section 3.8.2.1"},
	{"will delay in CONNECT", packets.V5, "10 12" + name5 + "02 0000 05 1800000001 0000", malformedPacket, "Will Delay Interval", "section 2.2.2.2"},
	{"session expiry in the will", packets.V5, "10 18" + name5 + "06 0000 00 0000 05 1100000001 0001 61 0000", malformedPacket, "Will Properties, Session Expiry Interval", "section 2.2.2.2"},
	{"topic alias in PUBACK", packets.V5, "40 07 0001 00 03 230001", malformedPacket, "Topic Alias", "section 2.2.2.2"},
	{"reason string in PUBLISH", packets.V5, "30 08 0001 61 04 1F000161", malformedPacket, "Reason String", "section 2.2.2.2"},
	{"reason string in UNSUBSCRIBE", packets.V5, "A2 0A 0001 04 1F000161 0001 61", malformedPacket, "Reason String", "section 2.2.2.2"},
	{"subscription identifier in UNSUBSCRIBE", packets.V5, "A2 08 0001 02 0B01 0001 61", malformedPacket, "Subscription Identifier", "section 2.2.2.2"},
	{"receive maximum 0", packets.V5, "10 10" + name5 + "02 0000 03 210000 0000", protocolError, "Receive Maximum", "section 3.1.2.11"},
	{"receive maximum 0", packets.V5, "20 06 00 00 03 210000", protocolError, "Receive Maximum", "section 3.2.2.3"},
	{"maximum packet size 0", packets.V5, "10 12" + name5 + "02 0000 05 2700000000 0000", protocolError, "Maximum Packet Size", "section 3.1.2.11"},
	{"topic alias 0", packets.V5, "30 07 0001 61 03 230000", packets.TopicAliasInvalid, "Topic Alias", "MQTT-3.3.2-8"},
	{"request problem information 2", packets.V5, "10 0F" + name5 + "02 0000 02 1702 0000", protocolError, "Request Problem Information", "section 3.1.2.11"},
	{"request response information 2", packets.V5, "10 0F" + name5 + "02 0000 02 1902 0000", protocolError, "Request Response Information", "section 3.1.2.11"},
	{"maximum QoS 2", packets.V5, "20 05 00 00 02 2402", protocolError, "Maximum QoS", "section 3.2.2.3"},
	{"retain available 2", packets.V5, "20 05 00 00 02 2502", protocolError, "Retain Available", "section 3.2.2.3"},
	{"wildcard available 2", packets.V5, "20 05 00 00 02 2802", protocolError, "Wildcard Subscription Available", "section 3.2.2.3"},
	{"identifier available 2", packets.V5, "20 05 00 00 02 2902", protocolError, "Subscription Identifier Available", "section 3.2.2.3"},
	{"shared available 2", packets.V5, "20 05 00 00 02 2A02", protocolError, "Shared Subscription Available", "section 3.2.2.3"},
	{"payload format 2", packets.V5, "30 06 0001 61 02 0102", protocolError, "Payload Format Indicator", "section 3.3.2.3"},
	{"payload format 2 in the will", packets.V5, "10 15" + name5 + "06 0000 00 0000 02 0102 0001 61 0000", protocolError, "Will Properties, Payload Format Indicator", "section 3.1.3.2"},
	{"subscription identifier 0", packets.V5, "82 09 0001 02 0B00 0001 61 00", protocolError, "Subscription Identifier", "section 3.8.2.1"},
	{"subscription identifier not minimal", packets.V5, "82 0A 0001 03 0B8100 0001 61 00", malformedPacket, "Subscription Identifier", "MQTT-1.5.5-1"},
	{"subscription identifier too long", packets.V5, "82 0D 0001 06 0B8080808001 0001 61 00", malformedPacket, "Subscription Identifier", "MQTT-1.5.5-1"},
	{"response topic with wildcard", packets.V5, "30 08 0001 61 04 0800012B", protocolError, "Response Topic", "MQTT-3.3.2-14"},
	{"response topic empty", packets.V5, "30 07 0001 61 03 080000", protocolError, "Response Topic", "MQTT-4.7.3-1"},
	{"authentication data alone in CONNECT", packets.V5, "10 10" + name5 + "02 0000 03 160000 0000", protocolError, "Authentication Data", "section 3.1.2.11"},
	{"authentication data alone in AUTH", packets.V5, "F0 05 00 03 160000", protocolError, "Authentication Data", "section 3.15.2.2"},

	// CONNECT.
	{"empty CONNECT", packets.V5, "10 00", malformedPacket, "Protocol Name", "MQTT-4.13.1-1"},
	{"unknown name", packets.V5, "10 0C 0004 4D515458 04 02 0000 0000", packets.UnsupportedProtocolVersion, "Protocol Name", "MQTT-3.1.2-1"},
	{"empty name", packets.V5, "10 08 0000 09 02 0000 0000", packets.UnsupportedProtocolVersion, "Protocol Name", "MQTT-3.1.2-1"},
	{"version 6", packets.V5, "10 0C 0004 4D515454 06 02 0000 0000", packets.UnsupportedProtocolVersion, "Protocol Version", "MQTT-3.1.2-2"},
	{"version 3 by the new name", packets.V5, "10 0C 0004 4D515454 03 02 0000 0000", packets.UnsupportedProtocolVersion, "Protocol Version", "MQTT-3.1.2-2"},
	{"version 4 by the old name", packets.V5, "10 0E 0006 4D5149736470 04 02 0000 0000", packets.UnsupportedProtocolVersion, "Protocol Version", "MQTT-3.1.2-2"},
	{"reserved flag", packets.V311, "10 0C" + name311 + "03 0000 0000", malformedPacket, "Connect Flags", "MQTT-3.1.2-3"},
	{"reserved flag", packets.V5, "10 0D" + name5 + "03 0000 00 0000", malformedPacket, "Connect Flags", "MQTT-3.1.2-3"},
	{"will QoS without will", packets.V311, "10 0C" + name311 + "0A 0000 0000", malformedPacket, "Will QoS", "MQTT-3.1.2-13"},
	{"will QoS without will", packets.V5, "10 0D" + name5 + "0A 0000 00 0000", malformedPacket, "Will QoS", "MQTT-3.1.2-11"},
	{"will retain without will", packets.V311, "10 0C" + name311 + "22 0000 0000", malformedPacket, "Will Retain", "MQTT-3.1.2-15"},
	{"will retain without will", packets.V5, "10 0D" + name5 + "22 0000 00 0000", malformedPacket, "Will Retain", "MQTT-3.1.2-13"},
	{"will QoS 3", packets.V311, "10 11" + name311 + "1E 0000 0000 0001 61 0000", malformedPacket, "Will QoS", "MQTT-3.1.2-14"},
	{"will QoS 3", packets.V5, "10 13" + name5 + "1E 0000 00 0000 00 0001 61 0000", malformedPacket, "Will QoS", "MQTT-3.1.2-12"},
	{"will topic with wildcard", packets.V311, "10 11" + name311 + "06 0000 0000 0001 23 0000", packets.TopicNameInvalid, "Will Topic", "MQTT-4.7.3-1"},
	{"will topic with wildcard", packets.V5, "10 13" + name5 + "06 0000 00 0000 00 0001 23 0000", packets.TopicNameInvalid, "Will Topic", "MQTT-4.7.0-1"},
	{"will topic empty", packets.V311, "10 10" + name311 + "06 0000 0000 0000 0000", protocolError, "Will Topic", "MQTT-4.7.0-1"},
	{"will missing", packets.V311, "10 0C" + name311 + "06 0000 0000", malformedPacket, "Will Topic", "MQTT-4.8.0-1"},
	{"will missing", packets.V5, "10 0D" + name5 + "06 0000 00 0000", malformedPacket, "Property Length", "MQTT-4.13.1-1"},
	{"password without user name", packets.V311, "10 0E" + name311 + "42 0000 0000 0000", malformedPacket, "Password", "MQTT-3.1.2-22"},
	{"user name missing", packets.V311, "10 0C" + name311 + "82 0000 0000", malformedPacket, "User Name", "MQTT-4.8.0-1"},
	{"user name missing", packets.V5, "10 0D" + name5 + "82 0000 00 0000", malformedPacket, "User Name", "MQTT-4.13.1-1"},
	{"password missing", packets.V311, "10 0E" + name311 + "C2 0000 0000 0000", malformedPacket, "Password", "MQTT-4.8.0-1"},
	{"user name not announced", packets.V311, "10 0F" + name311 + "02 0000 0000 0001 75", malformedPacket, "Remaining Length", "MQTT-4.8.0-1"},
	{"no client identifier", packets.V311, "10 0A" + name311 + "02 0000", malformedPacket, "Client Identifier", "MQTT-4.8.0-1"},

	// CONNACK.
	{"reserved flag", packets.V311, "20 02 02 00", malformedPacket, "Connect Acknowledge Flags", "MQTT-2.2.2-1"},
	{"reserved flag", packets.V5, "20 03 02 00 00", malformedPacket, "Connect Acknowledge Flags", "MQTT-3.2.2-1"},
	{"return code 6", packets.V311, "20 02 00 06", protocolError, "Return Code", "section 3.2.2.3 of 3.1.1"},
	{"session present and refused", packets.V311, "20 02 01 05", protocolError, "Session Present", "MQTT-3.2.2-4"},
	{"session present and refused", packets.V5, "20 03 01 87 00", protocolError, "Session Present", "MQTT-3.2.2-6"},
	{"reason code of another packet", packets.V5, "20 03 00 8E 00", protocolError, "Reason Code", "MQTT-3.2.2-8"},
	{"trailing byte", packets.V311, "20 03 00 00 00", malformedPacket, "Remaining Length", "MQTT-4.8.0-1"},

	// PUBLISH.
	{"QoS 3", packets.V5, "36 06 0001 61 0001 00", malformedPacket, "QoS", "MQTT-3.3.1-4"},
	{"DUP with QoS 0", packets.V5, "38 04 0001 61 00", protocolError, "DUP", "MQTT-3.3.1-2"},
	{"DUP with QoS 0", packets.V311, "38 03 0001 61", protocolError, "DUP", "MQTT-3.3.1-2"},
	{"wildcard #", packets.V5, "30 04 0001 23 00", packets.TopicNameInvalid, "Topic Name", "MQTT-3.3.2-2"},
	{"wildcard +", packets.V311, "30 05 0003 612F2B", packets.TopicNameInvalid, "Topic Name", "MQTT-3.3.2-2"},
	{"wildcard behind a wide character", packets.V5, "30 06 0003 C3A923 00", packets.TopicNameInvalid, "Topic Name", "MQTT-3.3.2-2"},
	{"no topic and no alias", packets.V5, "30 03 0000 00", protocolError, "Topic Name", "section 3.3.2.1"},
	{"no topic", packets.V311, "30 02 0000", protocolError, "Topic Name", "MQTT-4.7.0-1"},
	{"packet identifier 0", packets.V311, "32 05 0001 61 0000", protocolError, "Packet Identifier", "MQTT-2.3.1-1"},
	{"packet identifier 0", packets.V5, "34 06 0001 61 0000 00", protocolError, "Packet Identifier", "MQTT-2.2.1-3"},
	{"packet identifier missing", packets.V5, "32 04 0001 61 00", malformedPacket, "Packet Identifier", "MQTT-4.13.1-1"},

	// PUBACK, PUBREC, PUBREL, PUBCOMP.
	{"PUBACK of one byte", packets.V5, "40 01 00", malformedPacket, "Packet Identifier", "MQTT-4.13.1-1"},
	{"PUBACK identifier 0", packets.V5, "40 02 0000", protocolError, "Packet Identifier", "MQTT-2.2.1-3"},
	{"PUBREC identifier 0", packets.V311, "50 02 0000", protocolError, "Packet Identifier", "MQTT-2.3.1-1"},
	{"PUBACK with a code", packets.V311, "40 03 0001 00", malformedPacket, "Remaining Length", "MQTT-4.8.0-1"},
	{"PUBREL with a code", packets.V31, "62 03 0001 00", malformedPacket, "Remaining Length", "MQTT-4.8.0-1"},
	{"PUBACK trailing byte", packets.V5, "40 05 0001 00 00 00", malformedPacket, "Remaining Length", "MQTT-4.13.1-1"},
	{"PUBACK code", packets.V5, "40 03 0001 92", protocolError, "Reason Code", "MQTT-3.4.2-1"},
	{"PUBREC code", packets.V5, "50 03 0001 01", protocolError, "Reason Code", "MQTT-3.5.2-1"},
	{"PUBREL code", packets.V5, "62 03 0001 10", protocolError, "Reason Code", "MQTT-3.6.2-1"},
	{"PUBCOMP code", packets.V5, "70 03 0001 80", protocolError, "Reason Code", "MQTT-3.7.2-1"},

	// SUBSCRIBE, SUBACK.
	{"SUBSCRIBE identifier 0", packets.V5, "82 07 0000 00 0001 61 00", protocolError, "Packet Identifier", "MQTT-2.2.1-3"},
	{"SUBSCRIBE without filters", packets.V5, "82 03 0001 00", protocolError, "Topic Filter", "MQTT-3.8.3-2"},
	{"SUBSCRIBE without filters", packets.V311, "82 02 0001", protocolError, "Topic Filter", "MQTT-3.8.3-3"},
	{"filter without options", packets.V5, "82 06 0001 00 0001 61", malformedPacket, "Subscription Options", "MQTT-4.13.1-1"},
	{"filter empty", packets.V5, "82 06 0001 00 0000 00", protocolError, "Topic Filter", "MQTT-4.7.3-1"},
	{"reserved bits", packets.V5, "82 07 0001 00 0001 61 40", malformedPacket, "Subscription Options", "MQTT-3.8.3-5"},
	{"reserved bits", packets.V311, "82 06 0001 0001 61 04", malformedPacket, "Subscription Options", "MQTT-3.8.3-4"},
	{"QoS 3", packets.V5, "82 07 0001 00 0001 61 03", protocolError, "Maximum QoS", "section 3.8.3.1"},
	{"QoS 3", packets.V311, "82 06 0001 0001 61 03", malformedPacket, "Requested QoS", "MQTT-3.8.3-4"},
	{"retain handling 3", packets.V5, "82 07 0001 00 0001 61 30", protocolError, "Retain Handling", "section 3.8.3.1"},
	{"no local and shared", packets.V5, "82 0E 0001 00 0008 2473686172652F61 04", protocolError, "No Local", "MQTT-3.8.3-4"},
	{"SUBACK identifier 0", packets.V311, "90 03 0000 00", protocolError, "Packet Identifier", "MQTT-2.3.1-1"},
	{"SUBACK without codes", packets.V5, "90 03 0001 00", protocolError, "Reason Code", "MQTT-3.8.4-6"},
	{"SUBACK without codes", packets.V311, "90 02 0001", protocolError, "Reason Code", "MQTT-3.8.4-5"},
	{"SUBACK code", packets.V5, "90 04 0001 00 11", protocolError, "Reason Code", "MQTT-3.9.3-2"},
	{"SUBACK code", packets.V311, "90 03 0001 87", protocolError, "Return Code", "section 3.9.3 of 3.1.1"},

	// UNSUBSCRIBE, UNSUBACK.
	{"UNSUBSCRIBE identifier 0", packets.V311, "A2 05 0000 0001 61", protocolError, "Packet Identifier", "MQTT-2.3.1-1"},
	{"UNSUBSCRIBE without filters", packets.V5, "A2 03 0001 00", protocolError, "Topic Filter", "MQTT-3.10.3-2"},
	{"UNSUBSCRIBE without filters", packets.V311, "A2 02 0001", protocolError, "Topic Filter", "MQTT-3.10.3-2"},
	{"filter empty", packets.V311, "A2 04 0001 0000", protocolError, "Topic Filter", "MQTT-4.7.0-1"},
	{"UNSUBACK identifier 0", packets.V5, "B0 04 0000 00 00", protocolError, "Packet Identifier", "MQTT-2.2.1-3"},
	{"UNSUBACK without codes", packets.V5, "B0 03 0001 00", protocolError, "Reason Code", "MQTT-3.11.3-2"},
	{"UNSUBACK code", packets.V5, "B0 04 0001 00 01", protocolError, "Reason Code", "MQTT-3.11.3-2"},
	{"UNSUBACK with codes", packets.V311, "B0 03 0001 00", malformedPacket, "Remaining Length", "MQTT-4.8.0-1"},

	// PINGREQ, PINGRESP, DISCONNECT, AUTH.
	{"PINGREQ with a body", packets.V5, "C0 01 00", malformedPacket, "Remaining Length", "MQTT-4.13.1-1"},
	{"PINGRESP with a body", packets.V311, "D0 01 00", malformedPacket, "Remaining Length", "MQTT-4.8.0-1"},
	{"DISCONNECT with a body", packets.V311, "E0 01 00", malformedPacket, "Remaining Length", "MQTT-4.8.0-1"},
	{"DISCONNECT code", packets.V5, "E0 01 88", protocolError, "Reason Code", "MQTT-3.14.2-1"},
	{"DISCONNECT trailing byte", packets.V5, "E0 03 00 00 00", malformedPacket, "Remaining Length", "MQTT-4.13.1-1"},
	{"AUTH before MQTT 5", packets.V311, "F0 00", protocolError, "Packet Type", "section 2.1.2"},
	{"AUTH code", packets.V5, "F0 06 01 04 1500016D", protocolError, "Reason Code", "MQTT-3.15.2-1"},
	{"AUTH without method", packets.V5, "F0 02 18 00", protocolError, "Authentication Method", "section 3.15.2.2"},
	{"AUTH without property length", packets.V5, "F0 01 18", malformedPacket, "Property Length", "MQTT-4.13.1-1"},
}
