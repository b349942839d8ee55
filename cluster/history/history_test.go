package history_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/history"
	"github.com/shoalmq/shoal/packets"
)

func TestPayload(t *testing.T) {
	for _, size := range []int{0, 10, 12, 100, 5000} {
		b := history.Payload("pub/1", size)
		require.Len(t, b, max(size, 15))
		name, corrupt := history.ParsePayload(b)
		require.Equal(t, "pub/1", name)
		require.Empty(t, corrupt)
		for i := range b {
			b[i] ^= 1
			_, corrupt = history.ParsePayload(b)
			require.NotEmpty(t, corrupt, "byte %d of %d", i, len(b))
			b[i] ^= 1
		}
	}
	_, corrupt := history.ParsePayload([]byte(strings.Repeat("x", 100)))
	require.Contains(t, corrupt, "(100 bytes)")
}

// Every packet of a client becomes the event that the checker knows.
func TestRecorder(t *testing.T) {
	r := history.NewRecorder()
	c := r.Conn("a", "n1")
	body := history.Payload("a/1", 0)
	c.Sent(&packets.Connect{
		ProtocolVersion: packets.V5, CleanStart: true,
		Properties: packets.Properties{SessionExpiryInterval: packets.Some[uint32](7)},
		Will:       &packets.Will{TopicName: "w", Payload: history.Payload("a/w", 0), QoS: 1, Properties: packets.Properties{WillDelayInterval: packets.Some[uint32](3)}},
	})
	c.Received(&packets.ConnAck{SessionPresent: true, Properties: packets.Properties{SessionExpiryInterval: packets.Some[uint32](5)}})
	c.Sent(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 1}}})
	c.Received(&packets.SubAck{PacketID: 1, ReasonCodes: []packets.ReasonCode{packets.GrantedQoS2}})
	c.Sent(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 2, Payload: body, Retain: true})
	c.Received(&packets.PubRec{PacketID: 2})
	c.Sent(&packets.PubRel{PacketID: 2})
	c.Received(&packets.PubComp{PacketID: 2})
	c.Received(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 9, Payload: body, Dup: true})
	c.Sent(&packets.PubRec{PacketID: 9})
	c.Received(&packets.PubRel{PacketID: 9})
	c.Sent(&packets.PubComp{PacketID: 9})
	c.Sent(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 3, Retain: true})
	c.Received(&packets.PubAck{PacketID: 3, ReasonCode: packets.NoMatchingSubscribers})
	c.Received(&packets.Publish{TopicName: "t", Payload: []byte("x")})
	c.Sent(&packets.PubAck{PacketID: 8})
	c.Sent(&packets.PingReq{})
	c.Received(&packets.PingResp{})
	c.Sent(&packets.Unsubscribe{PacketID: 4, TopicFilters: []string{"t"}})
	c.Received(&packets.UnsubAck{PacketID: 4, ReasonCodes: []packets.ReasonCode{packets.NoSubscriptionExisted}})
	c.Sent(&packets.Auth{}) // no rule looks at it
	c.Received(&packets.Auth{})
	c.Drained()
	c.Sent(&packets.Disconnect{ReasonCode: packets.DisconnectWithWillMessage, Properties: packets.Properties{SessionExpiryInterval: packets.Some[uint32](0)}})
	c.Received(&packets.Disconnect{ReasonCode: packets.SessionTakenOver})
	c.Closed(history.ByPeer, "EOF")
	c.Closed(history.ByClient, "too late")
	old := r.Conn("b", "n2")
	old.Sent(&packets.Connect{ProtocolVersion: packets.V311})
	r.Fault(history.FaultKill, "n1", "for good")
	r.Calm()
	r.Quiet()

	seven, five, zero, never := uint32(7), uint32(5), uint32(0), uint32(1<<32-1)
	want := history.History{
		{Kind: history.Connect, CleanStart: true, SessionExpiry: &seven, Will: &history.Will{Topic: "w", QoS: 1, Message: "a/w", Delay: 3}},
		{Kind: history.ConnAck, SessionPresent: true, SessionExpiry: &five},
		{Kind: history.Subscribe, PacketID: 1, Subscriptions: []history.Subscription{{TopicFilter: "t", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 1}}},
		{Kind: history.SubAck, PacketID: 1, Codes: []int{2}},
		{Kind: history.Publish, PacketID: 2, Topic: "t", QoS: 2, Message: "a/1", Retain: true},
		{Kind: history.PubRec, PacketID: 2},
		{Kind: history.PubRel, PacketID: 2},
		{Kind: history.PubComp, PacketID: 2},
		{Kind: history.Deliver, PacketID: 9, Topic: "t", QoS: 2, Message: "a/1", Dup: true},
		{Kind: history.Acknowledge, PacketID: 9},
		{Kind: history.Release, PacketID: 9},
		{Kind: history.Complete, PacketID: 9},
		{Kind: history.Publish, PacketID: 3, Topic: "t", QoS: 1, Empty: true, Retain: true},
		{Kind: history.PubAck, PacketID: 3, Code: 0x10},
		{Kind: history.Deliver, Topic: "t", Corrupt: `no name and checksum in it: "x"`},
		{Kind: history.Acknowledge, PacketID: 8},
		{Kind: history.Ping},
		{Kind: history.Pong},
		{Kind: history.Unsubscribe, PacketID: 4, Subscriptions: []history.Subscription{{TopicFilter: "t"}}},
		{Kind: history.UnsubAck, PacketID: 4, Codes: []int{0x11}},
		{Kind: history.Drained},
		{Kind: history.Disconnect, Code: 4, SessionExpiry: &zero},
		{Kind: history.Disconnected, Code: 0x8E},
		{Kind: history.Closed, By: history.ByPeer, Reason: "EOF"},
		{Kind: history.Connect, SessionExpiry: &never, Client: "b", Node: "n2", Conn: 2},
		{Kind: history.Fault, Fault: history.FaultKill, Node: "n1", Reason: "for good"},
		{Kind: history.Calm},
		{Kind: history.Quiet},
	}
	got := r.History()
	for i := range got {
		require.GreaterOrEqual(t, got[i].At, got[max(0, i-1)].At)
		got[i].At = 0
		if got[i].Conn == 1 {
			got[i].Client, got[i].Conn, got[i].Node = "", 0, ""
		}
	}
	require.Equal(t, want, got)

	path := filepath.Join(t.TempDir(), "h.jsonl")
	require.NoError(t, want.WriteFile(path))
	var b bytes.Buffer
	require.NoError(t, want.Write(&b))
	read, err := history.Read(&b)
	require.NoError(t, err)
	require.Equal(t, want, read)
}

func TestReadNamesTheLine(t *testing.T) {
	_, err := history.Read(strings.NewReader("{\"kind\":\"calm\"}\n\n{\"kind\":3}\n"))
	require.ErrorContains(t, err, "line 3")
}

// The report tells the life of the message concerned: where it was sent and acknowledged, who should have had it, and the faults meanwhile.
func TestStory(t *testing.T) {
	s := &script{}
	k := s.keeper("k", "t")
	p := s.pub().sends("lost", 1)
	s.fault("partition", "n2")
	p.acked(history.PubAck)
	for range 100 {
		p.pub1("other")
	}
	k.got("other", 1).drained()
	r := history.Check(s.h, history.Options{})
	require.Equal(t, one(history.MessageLost), rulesOf(r))
	var b strings.Builder
	require.NoError(t, r.Write(&b, s.h))
	for _, line := range []string{
		"message-lost: message \"lost\" of QoS 1", `pub #2 at n1: publish "lost" topic=t qos=1 id=1`, "FAULT partition n2", "puback id=1 code=0x00",
		"k #1 at n1: drained",
	} {
		require.Contains(t, b.String(), line)
	}
	require.NotContains(t, b.String(), `publish "other"`)
	require.Less(t, strings.Count(b.String(), "\n"), 20)

	b.Reset()
	require.NoError(t, history.Report{}.Write(&b, nil))
	require.Contains(t, b.String(), "no violations")
}

// Whatever a file says, reading and checking it ends, and what it finds can be printed.
func FuzzCheck(f *testing.F) {
	s := &script{}
	k := s.keeper("k", "$share/g/t").sub("will", 1)
	s.as("w", "n2").open(clean, willOf("w", 5)).drop()
	s.fault(history.FaultKill, "n1")
	p := s.pub().pub1("1", retain).pub2("2")
	s.calm()
	k.got("1", 1, dup).got2("2", id(2)).lost().at("n2").open(keep, present).unsub("will").ping().drained()
	p.bye().lost()
	s.quiet()
	var b bytes.Buffer
	require.NoError(f, s.h.Write(&b))
	f.Add(b.Bytes())
	f.Add([]byte(`{"kind":"deliver","client":"x","conn":1,"qos":9,"message":"m"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := history.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, o := range []history.Options{{}, {ExcuseLostNodes: true}} {
			r := history.Check(h, o)
			for _, v := range r.Violations {
				for _, i := range v.Events {
					require.Less(t, i, len(h))
				}
			}
			var out strings.Builder
			require.NoError(t, r.Write(&out, h))
		}
	})
}
