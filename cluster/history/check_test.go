package history_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/history"
)

// rulesOf returns the rules that are broken, each once.
func rulesOf(r history.Report) []history.Rule {
	var rules []history.Rule
	seen := make(map[history.Rule]bool)
	for _, v := range r.Violations {
		if !seen[v.Rule] {
			seen[v.Rule] = true
			rules = append(rules, v.Rule)
		}
	}
	return rules
}

// scenario is a history and what is wrong with it; nothing, if no rules are named.
type scenario struct {
	name  string
	write func(s *script)
	rules []history.Rule
}

func one(r history.Rule) []history.Rule { return []history.Rule{r} }

func run(t *testing.T, scenarios []scenario, o history.Options) {
	t.Helper()
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			s := &script{}
			sc.write(s)
			r := history.Check(s.h, o)
			require.Equal(t, sc.rules, rulesOf(r), "%+v", r.Violations)
			for _, v := range r.Violations {
				require.NotEmpty(t, v.Events)
			}
		})
	}
}

func TestMessageLost(t *testing.T) {
	run(t, []scenario{
		{"arrives", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("m"); k.got("m", 1).drained() }, nil},
		{"QoS 1 is lost", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("m"); k.drained() }, one(history.MessageLost)},
		{"QoS 2 is lost", func(s *script) { k := s.keeper("k", "+"); s.pub().pub2("m"); k.drained() }, one(history.MessageLost)},
		{"lost for a session of one connection", func(s *script) { k := s.visitor("v", "t"); s.pub().pub1("m"); k.drained() }, one(history.MessageLost)},
		{"lost while the client is away", func(s *script) {
			k := s.keeper("k", "t").drop()
			s.pub().pub1("m")
			k.open(keep, present).drained()
		}, one(history.MessageLost)},
		{"not acknowledged", func(s *script) { k := s.keeper("k", "t"); s.pub().sends("m", 1); k.drained() }, nil},
		{"refused", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().sends("m", 1).acked(history.PubAck, code(0x97))
			k.drained()
		}, nil},
		{"acknowledged at the second try", func(s *script) {
			k := s.keeper("k", "t")
			p := s.pub().sends("m", 1).drop()
			p.open(clean).pub1("m", dup)
			k.drained()
		}, one(history.MessageLost)},
		{"QoS 0", func(s *script) { k := s.keeper("k", "t"); s.pub().sends("m", 0); k.drained() }, nil},
		{"subscribed with QoS 0", func(s *script) { k := s.as("k", "n1").open(keep).sub("t", 0); s.pub().pub1("m"); k.drained() }, nil},
		{"not drained", func(s *script) { s.keeper("k", "t"); s.pub().pub1("m") }, nil},
		{"drained before the acknowledgement", func(s *script) {
			k := s.keeper("k", "t")
			p := s.pub().sends("m", 1)
			k.drained()
			p.acked(history.PubAck)
		}, nil},
		{"subscribed after the sending", func(s *script) {
			k, p := s.as("k", "n1").open(keep), s.pub().sends("m", 1)
			k.sub("t", 1)
			p.acked(history.PubAck)
			k.drained()
		}, nil},
		{"subscription unanswered", func(s *script) { k := s.as("k", "n1").open(keep).asks("t", 1); s.pub().pub1("m"); k.drained() }, nil},
		{"subscription refused", func(s *script) {
			k := s.as("k", "n1").open(keep).asks("t", 1).add(history.Event{Kind: history.SubAck, PacketID: 1, Codes: []int{0x87}})
			s.pub().pub1("m")
			k.drained()
		}, nil},
		{"unsubscribed later", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("m"); k.unsub("t").drained() }, nil},
		{"session ended and another began", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("m")
			k.drop().open(clean, keep).drained()
		}, nil},
		{"Clean Start without an answer", func(s *script) {
			k := s.keeper("k", "t").drop()
			s.pub().pub1("m")
			b, _ := k.begin(clean, keep)
			b.lost().open(keep, present).drained()
		}, nil},
		{"session may have expired", func(s *script) {
			k := s.keeper("k", "t").drop()
			s.pub().pub1("m")
			s.wait(601 * time.Second)
			k.open(keep).sub("t", 1).drained()
		}, nil},
		{"expires", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("m", func(e *history.Event) { e.Expires = true })
			k.drained()
		}, nil},
		{"own message and No Local", func(s *script) {
			k := s.as("k", "n1").open(keep)
			k.id++
			k.add(history.Event{Kind: history.Subscribe, PacketID: k.id, Subscriptions: []history.Subscription{{TopicFilter: "t", QoS: 1, NoLocal: true}}})
			k.add(history.Event{Kind: history.SubAck, PacketID: k.id, Codes: []int{1}})
			k.pub1("m").drained()
		}, nil},
		{"two connections are set up at once", func(s *script) {
			a, _ := s.as("k", "n1").begin(keep)
			b, ack := s.as("k", "n2").begin(keep)
			b.add(ack).sub("t", 1)
			a.lost()
			s.pub().pub1("m")
			b.drained()
		}, nil},
	}, history.Options{})
}

func TestExcuseLostNodes(t *testing.T) {
	lost := func(s *script) {
		k := s.keeper("k", "t")
		s.pub().pub1("m")
		s.fault(history.FaultKill, "n1")
		k.lost().at("n2").open(keep).sub("t", 1).drained()
	}
	elsewhere := func(s *script) {
		k := s.keeper("k", "t").drop().at("n2").open(keep, present)
		s.pub().pub1("m")
		s.fault(history.FaultKill, "n1")
		k.drained()
	}
	member := func(s *script) {
		v := s.visitor("v", "$share/g/t")
		k := s.as("k", "n2").open(keep).sub("$share/g/t", 1)
		s.as("pub", "n2").open(clean).pub1("m")
		s.fault(history.FaultKill, "n1")
		v.lost()
		k.drained()
	}
	run(t, []scenario{
		{"session of the lost node", lost, nil},
		{"session of another node", elsewhere, one(history.MessageLost)},
		{"member of a group", member, nil},
	}, history.Options{ExcuseLostNodes: true})
	run(t, []scenario{
		{"session of the lost node is not excused", lost, one(history.SessionPresentWrong)},
		{"member of a group is not excused", member, one(history.SharedLost)},
	}, history.Options{})
}

func TestExactlyOnce(t *testing.T) {
	run(t, []scenario{
		{"once", func(s *script) { k := s.keeper("k", "t"); s.pub().pub2("m"); k.got2("m").drained() }, nil},
		{"twice", func(s *script) { k := s.keeper("k", "t"); s.pub().pub2("m"); k.got2("m").got2("m", id(2)) }, one(history.ExactlyOnce)},
		{"twice, over a move", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub2("m")
			k.got2("m").drop().at("n2").open(keep, present).got2("m", dup)
		}, one(history.ExactlyOnce)},
		{"repeated before PUBREL", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub2("m")
			k.got("m", 2).drop().at("n2").open(keep, present).got("m", 2, dup).released(1)
		}, nil},
		{"repeated before PUBREL on the same connection", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub2("m")
			k.got("m", 2).got("m", 2, dup).released(1)
		}, one(history.Repeated)},
		{"a new exchange of the publisher", func(s *script) {
			k, p := s.keeper("k", "t"), s.pub().sends("m", 2).drop()
			p.open(clean).pub2("m", id(1))
			k.got2("m").got2("m", id(2))
		}, nil},
		{"the same exchange of the publisher", func(s *script) {
			k, p := s.keeper("k", "t"), s.as("p", "n1").open(keep).sends("m", 2).drop()
			p.open(keep, present).sends("m", 2, dup, id(1)).acked(history.PubRec)
			k.got2("m").drop().open(keep, present).got2("m", id(2))
		}, one(history.ExactlyOnce)},
		{"two filters", func(s *script) {
			k := s.keeper("k", "t").sub("+", 2)
			s.pub().pub2("m")
			k.got2("m").got2("m", id(2))
		}, nil},
		{"read late on the connection before", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub2("m")
			k.open(keep, present).got2("m", dup)
			k.got("m", 2)
		}, nil},
		{"with another identifier on the connection before", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub2("m")
			k.open(keep, present).got2("m", dup)
			k.got("m", 2, id(2))
		}, one(history.ExactlyOnce)},
		{"in another session", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub2("m")
			k.got2("m").drop().open(clean).sub("t", 2).got2("m")
		}, nil},
	}, history.Options{})
}

func TestRepeated(t *testing.T) {
	run(t, []scenario{
		{"twice on one connection", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("m"); k.got("m", 1).got("m", 1, id(2)) }, one(history.Repeated)},
		{"again with DUP", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("m")
			k.got("m", 1).drop().open(keep, present).got("m", 1, dup)
		}, nil},
		{"again without DUP", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("m")
			k.got("m", 1).drop().open(keep, present).got("m", 1)
		}, one(history.Repeated)},
		{"again without DUP after a node was killed", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("m")
			k.got("m", 1)
			s.fault(history.FaultKill, "n1")
			k.lost().at("n2").open(keep, present).got("m", 1)
		}, nil},
		{"again without DUP while packets were lost", func(s *script) {
			k := s.keeper("k", "t")
			s.fault(history.FaultPacketLoss, "n1")
			s.pub().pub1("m")
			k.got("m", 1).drop().at("n2").open(keep, present).got("m", 1)
		}, nil},
		{"again without DUP when packets were lost no more", func(s *script) {
			k := s.keeper("k", "t")
			s.fault(history.FaultPacketLoss, "n1")
			s.calm()
			s.pub().pub1("m")
			k.got("m", 1).drop().at("n2").open(keep, present).got("m", 1)
		}, one(history.Repeated)},
		{"sent twice", func(s *script) {
			k, p := s.keeper("k", "t"), s.pub().sends("m", 1).drop()
			p.open(clean).pub1("m", dup)
			k.got("m", 1).got("m", 1, id(2))
		}, nil},
	}, history.Options{})
}

func TestAtMostOnce(t *testing.T) {
	run(t, []scenario{
		{"once", func(s *script) { k := s.keeper("k", "t"); s.pub().sends("m", 0); k.got("m", 0) }, nil},
		{"twice", func(s *script) { k := s.keeper("k", "t"); s.pub().sends("m", 0); k.got("m", 0).got("m", 0) }, one(history.AtMostOnce)},
		{"twice, over a move", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().sends("m", 0)
			k.got("m", 0).drop().at("n2").open(keep, present).got("m", 0)
		}, one(history.AtMostOnce)},
		{"live and retained", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().sends("m", 0, retain)
			k.got("m", 0).got("m", 0, retain)
		}, nil},
	}, history.Options{})
}

func TestDupFlag(t *testing.T) {
	run(t, []scenario{
		{"nothing can be a repetition", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("m"); k.got("m", 1, dup) }, one(history.DupFlag)},
		{"sent to a connection that nobody saw", func(s *script) {
			k := s.keeper("k", "t").drop()
			s.pub().pub1("m")
			k.open(keep, present).got("m", 1, dup)
		}, nil},
		{"another member may have had it", func(s *script) { k := s.keeper("k", "$share/g/t"); s.pub().pub1("m"); k.got("m", 1, dup) }, nil},
	}, history.Options{})
}

func TestPacketIdentifier(t *testing.T) {
	run(t, []scenario{
		{"used for two at once", func(s *script) { k := s.keeper("k", "t"); s.pub().pub2("m").pub2("n"); k.got("m", 2).got("n", 2) }, one(history.PacketIdentifier)},
		{"used for two in turn", func(s *script) { k := s.keeper("k", "t"); s.pub().pub2("m").pub2("n"); k.got2("m").got2("n") }, nil},
	}, history.Options{})
}

func TestDisorder(t *testing.T) {
	run(t, []scenario{
		{"in order", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("1").pub1("2"); k.got("1", 1).got("2", 1) }, nil},
		{"first sent while unsubscribed, and sent again", func(s *script) {
			k, p := s.keeper("k", "t").unsub("t"), s.as("p", "n1").open(keep).sends("1", 1)
			k.sub("t", 1)
			p.sends("2", 1)
			k.got("2", 1)
			p.drop().open(keep, present).sends("1", 1, dup, id(1)).sends("2", 1, dup, id(2))
			k.got("1", 1, id(2))
		}, nil},
		{"first sent while subscribed, and sent again", func(s *script) {
			k, p := s.keeper("k", "t"), s.as("p", "n1").open(keep).sends("1", 1)
			p.sends("2", 1)
			k.got("2", 1)
			p.drop().open(keep, present).sends("1", 1, dup, id(1)).sends("2", 1, dup, id(2))
			k.got("1", 1, id(2))
		}, one(history.Disorder)},
		{"out of order", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("1").pub1("2"); k.got("2", 1).got("1", 1) }, one(history.Disorder)},
		{"subscribed in between, and sent again", func(s *script) {
			p := s.as("pub", "n1").open(keep).sends("1", 1, id(1))
			k := s.keeper("k", "t")
			p.sends("2", 1, id(2))
			k.got("2", 1)
			p.drop().open(keep, present).sends("1", 1, dup, id(1)).acked(history.PubAck, id(1)).sends("2", 1, dup, id(2)).acked(history.PubAck, id(2))
			k.got("1", 1, id(2)).got("2", 1, id(3))
		}, nil},
		{"subscribed before, and sent again", func(s *script) {
			k := s.keeper("k", "t")
			p := s.as("pub", "n1").open(keep).sends("1", 1, id(1)).sends("2", 1, id(2))
			k.got("2", 1)
			p.drop().open(keep, present).sends("1", 1, dup, id(1)).acked(history.PubAck, id(1)).sends("2", 1, dup, id(2)).acked(history.PubAck, id(2))
			k.got("1", 1, id(2)).got("2", 1, id(3))
		}, one(history.Disorder)},
		{"out of order, QoS 0", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().sends("1", 0).sends("2", 0)
			k.got("2", 0).got("1", 0)
		}, one(history.Disorder)},
		{"one too late among many", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("1").pub1("2").pub1("3").pub1("4")
			k.got("1", 1).got("3", 1).got("4", 1).got("2", 1)
		}, one(history.Disorder)},
		{"repetitions are not first", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("1").pub1("2")
			k.got("1", 1).got("2", 1).drop().open(keep, present).got("1", 1, dup).got("2", 1, dup)
		}, nil},
		{"other topics", func(s *script) {
			k := s.keeper("k", "+")
			s.pub().pub1("1").pub1("2", to("u"))
			k.got("2", 1, to("u")).got("1", 1)
		}, nil},
		{"other QoS", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("1").sends("2", 0); k.got("2", 0).got("1", 1) }, nil},
		{"other publishers", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("1")
			s.as("q", "n2").open(clean).pub1("2")
			k.got("2", 1).got("1", 1)
		}, nil},
		{"refused and sent again", func(s *script) {
			k, p := s.keeper("k", "t"), s.pub().sends("1", 1).acked(history.PubAck, code(0x97))
			p.pub1("2").pub1("1")
			k.got("2", 1).got("1", 1)
		}, nil},
		{"given up, and the next one over another connection", func(s *script) {
			k, p := s.keeper("k", "t"), s.pub().sends("1", 1).drop()
			p.open(clean).pub1("2")
			k.got("2", 1).got("1", 1)
		}, nil},
		{"both sent again", func(s *script) {
			k, p := s.keeper("k", "t"), s.as("p", "n1").open(keep).sends("1", 1).sends("2", 1).lost()
			p.at("n2").open(keep, present).pub1("1", dup).pub1("2", dup)
			k.got("2", 1).got("1", 1)
		}, one(history.Disorder)},
		{"a member went away", func(s *script) {
			k, v := s.keeper("k", "$share/g/t"), s.visitor("v", "$share/g/t")
			s.pub().pub1("1").pub1("2")
			k.got("2", 1)
			v.drop()
			k.got("1", 1)
		}, nil},
		{"a member went away a moment before", func(s *script) {
			k, v := s.keeper("k", "$share/g/t"), s.visitor("v", "$share/g/t")
			v.drop()
			s.pub().pub1("1").pub1("2")
			k.got("2", 1).got("1", 1)
		}, nil},
		{"a member went away long before", func(s *script) {
			k, v := s.keeper("k", "$share/g/t"), s.visitor("v", "$share/g/t")
			v.drop()
			s.wait(time.Second)
			s.pub().pub1("1").pub1("2")
			k.got("2", 1).got("1", 1)
		}, one(history.Disorder)},
		{"no member went away", func(s *script) {
			k := s.keeper("k", "$share/g/t")
			s.pub().pub1("1").pub1("2")
			k.got("2", 1).got("1", 1)
		}, one(history.Disorder)},
	}, history.Options{})
}

func TestOneConnection(t *testing.T) {
	run(t, []scenario{
		{"taken over", func(s *script) {
			a := s.keeper("k", "t").ping()
			b := a.at("n2").open(keep, present)
			a.add(history.Event{Kind: history.Disconnected, Code: 0x8E}).lost()
			b.ping()
		}, nil},
		{"the old one is answered", func(s *script) {
			a := s.keeper("k", "t")
			a.at("n2").open(keep, present)
			a.ping()
		}, one(history.TwoConnections)},
		{"the old one was asked before", func(s *script) {
			a := s.keeper("k", "t").add(history.Event{Kind: history.Ping})
			a.at("n2").open(keep, present)
			a.add(history.Event{Kind: history.Pong})
		}, nil},
		{"the old one acknowledges", func(s *script) {
			a := s.keeper("k", "t")
			a.at("n2").open(keep, present)
			a.pub1("m")
		}, one(history.StaleOwner)},
		{"the old one refuses", func(s *script) {
			a := s.keeper("k", "t")
			a.at("n2").open(keep, present)
			a.sends("m", 1).acked(history.PubAck, code(0x88))
		}, nil},
		{"the old one gets a new message", func(s *script) {
			a := s.keeper("k", "t")
			a.at("n2").open(keep, present)
			s.pub().pub1("m")
			a.got("m", 1)
		}, one(history.TwoConnections)},
		{"the old one gets an old message", func(s *script) {
			a := s.keeper("k", "t")
			s.pub().pub1("m")
			a.at("n2").open(keep, present)
			a.got("m", 1)
		}, nil},
		{"the new one was refused", func(s *script) {
			a := s.keeper("k", "t")
			b, ack := a.at("n2").begin(keep)
			ack.Code = 0x89
			b.add(ack)
			a.ping()
		}, nil},
		{"nobody knows which is older", func(s *script) {
			a, ackA := s.as("k", "n1").begin(keep)
			b, ackB := s.as("k", "n2").begin(keep)
			a.add(ackA)
			b.add(ackB)
			a.ping()
		}, nil},
	}, history.Options{})
}

func TestUnknownAndCorrupted(t *testing.T) {
	run(t, []scenario{
		{"never sent", func(s *script) { s.keeper("k", "t").got("m", 1) }, one(history.Unknown)},
		{"sent later", func(s *script) { s.keeper("k", "t").got("m", 1); s.pub().pub1("m") }, one(history.Unknown)},
		{"sent elsewhere", func(s *script) { k := s.keeper("k", "+"); s.pub().pub1("m", to("u")); k.got("m", 1) }, one(history.Unknown)},
		{"with a higher QoS", func(s *script) { k := s.keeper("k", "t"); s.pub().sends("m", 0); k.got("m", 1) }, one(history.Unknown)},
		{"with a lower QoS", func(s *script) { k := s.keeper("k", "t"); s.pub().pub2("m"); k.got("m", 1) }, nil},
		{"empty, sent", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("", empty, retain); k.got("", 1, empty) }, nil},
		{"empty, never sent", func(s *script) { s.keeper("k", "t").got("", 1, empty) }, one(history.Unknown)},
		{"corrupt", func(s *script) {
			k := s.keeper("k", "t")
			s.pub().pub1("m")
			k.got("m", 1, func(e *history.Event) { e.Corrupt = "flipped" })
		}, one(history.Corrupted)},
	}, history.Options{})
}

func TestNotSubscribed(t *testing.T) {
	run(t, []scenario{
		{"never subscribed", func(s *script) { k := s.keeper("k", "u"); s.pub().pub1("m"); k.got("m", 1) }, one(history.NotSubscribed)},
		{"subscribed without an answer", func(s *script) { k := s.as("k", "n1").open().asks("t", 1); s.pub().pub1("m"); k.got("m", 1) }, nil},
		{"after UNSUBACK", func(s *script) { k := s.keeper("k", "t").unsub("t"); s.pub().pub1("m"); k.got("m", 1) }, one(history.NotSubscribed)},
		{"sent before UNSUBACK", func(s *script) { k := s.keeper("k", "t"); s.pub().pub1("m"); k.unsub("t").got("m", 1) }, nil},
		{"another filter is left", func(s *script) { k := s.keeper("k", "t").sub("+", 1).unsub("t"); s.pub().pub1("m"); k.got("m", 1) }, nil},
		{"subscribed again", func(s *script) { k := s.keeper("k", "t").unsub("t").sub("t", 1); s.pub().pub1("m"); k.got("m", 1) }, nil},
		{"subscribed again, and left", func(s *script) {
			k := s.keeper("k", "t").sub("t", 1).unsub("t")
			s.pub().pub1("m")
			k.got("m", 1)
		}, one(history.NotSubscribed)},
		{"in the session before", func(s *script) {
			k := s.keeper("k", "t").drop().open(clean)
			s.pub().pub1("m")
			k.got("m", 1)
		}, one(history.NotSubscribed)},
	}, history.Options{})
}

func TestUnasked(t *testing.T) {
	run(t, []scenario{
		{"nothing is open", func(s *script) { s.pub().acked(history.PubAck, id(7)) }, one(history.Unasked)},
		{"answered twice", func(s *script) { s.pub().pub1("m").acked(history.PubAck) }, one(history.Unasked)},
		{"the wrong answer", func(s *script) { s.pub().sends("m", 2).acked(history.PubAck) }, one(history.Unasked)},
		{"PUBREL of a connection before", func(s *script) {
			p := s.as("p", "n1").open(keep).sends("m", 2).acked(history.PubRec).drop().open(keep, present)
			p.add(history.Event{Kind: history.PubRel, PacketID: 1}).add(history.Event{Kind: history.PubComp, PacketID: 1})
		}, nil},
		{"all of them", func(s *script) { s.visitor("v", "t").unsub("t").pub1("m").pub2("n") }, nil},
	}, history.Options{})
}

func TestSessionPresent(t *testing.T) {
	run(t, []scenario{
		{"1 after Clean Start", func(s *script) { s.keeper("k", "t").drop().open(clean, keep, present) }, one(history.SessionPresentWrong)},
		{"1 from nothing", func(s *script) { s.as("k", "n1").open(keep, present) }, one(history.SessionPresentWrong)},
		{"1 after a connection that nobody saw accepted", func(s *script) {
			k, _ := s.as("k", "n1").begin(keep)
			k.lost().open(keep, present)
		}, nil},
		{"1 after sessions that end with their connection", func(s *script) { s.as("k", "n1").open().drop().open(present) }, one(history.SessionPresentWrong)},
		{"0 and it must be there", func(s *script) { s.keeper("k", "t").drop().at("n2").open(keep) }, one(history.SessionPresentWrong)},
		{"0 in a takeover", func(s *script) { s.keeper("k", "t").at("n2").open(keep) }, one(history.SessionPresentWrong)},
		{"0 after it may have expired", func(s *script) {
			k := s.keeper("k", "t").drop()
			s.wait(601 * time.Second)
			k.open(keep)
		}, nil},
		{"0 after DISCONNECT with expiry 0", func(s *script) {
			zero := uint32(0)
			s.keeper("k", "t").add(history.Event{Kind: history.Disconnect, SessionExpiry: &zero}).lost().open(keep)
		}, nil},
		{"0 after a connection with expiry 0 that nobody saw accepted", func(s *script) {
			k, _ := s.keeper("k", "t").drop().begin()
			k.lost().open(keep)
		}, nil},
		{"0 after Clean Start that nobody saw accepted", func(s *script) {
			k, _ := s.keeper("k", "t").drop().begin(clean, keep)
			k.lost().open(keep)
		}, nil},
		{"0 after the server shortened it", func(s *script) {
			short := uint32(1)
			k := s.as("k", "n1").open(keep, func(_, a *history.Event) { a.SessionExpiry = &short }).drop()
			s.wait(2 * time.Second)
			k.open(keep)
		}, nil},
	}, history.Options{})
}

func TestShared(t *testing.T) {
	const group = "$share/g/t"
	run(t, []scenario{
		{"one member", func(s *script) {
			a, b := s.keeper("a", group), s.keeper("b", group)
			s.pub().pub1("m").pub1("n")
			a.got("m", 1).drained()
			b.got("n", 1).drained()
		}, nil},
		{"two members", func(s *script) {
			a, b := s.keeper("a", group), s.keeper("b", group)
			s.pub().pub1("m")
			a.got("m", 1)
			b.got("m", 1)
		}, one(history.SharedTwice)},
		{"two members of two groups", func(s *script) {
			a, b := s.keeper("a", group), s.keeper("b", "$share/h/t")
			s.pub().pub1("m")
			a.got("m", 1)
			b.got("m", 1)
		}, nil},
		{"two members, and the first went away", func(s *script) {
			a, b := s.keeper("a", group), s.keeper("b", group)
			s.pub().pub1("m")
			a.got("m", 1).drop()
			b.got("m", 1, dup)
		}, nil},
		{"two members, and the first had taken its leave, which its node had not read", func(s *script) {
			a, b := s.keeper("a", group), s.keeper("b", group)
			a.bye()
			s.pub().pub1("m")
			a.got("m", 1)
			b.got("m", 1, dup)
		}, nil},
		{"two members, and a third had taken its leave before, and was gone", func(s *script) {
			a, b := s.keeper("a", group), s.keeper("b", group)
			s.keeper("c", group).bye().drop()
			s.pub().pub1("m")
			a.got("m", 1)
			b.got("m", 1)
		}, one(history.SharedTwice)},
		{"two members, in a fault", func(s *script) {
			s.fault("partition", "n1")
			a, b := s.keeper("a", group), s.keeper("b", group)
			s.pub().pub1("m")
			a.got("m", 1)
			b.got("m", 1)
		}, nil},
		{"two members, after a fault", func(s *script) {
			s.fault("partition", "n1")
			s.calm()
			a, b := s.keeper("a", group), s.keeper("b", group)
			s.pub().pub1("m")
			a.got("m", 1)
			b.got("m", 1)
		}, one(history.SharedTwice)},
		{"two members, one with a subscription of its own", func(s *script) {
			a, b := s.keeper("a", group), s.keeper("b", group).sub("+", 1)
			s.pub().pub1("m")
			a.got("m", 1)
			b.got("m", 1)
		}, nil},
		{"sent twice", func(s *script) {
			a, b := s.keeper("a", group), s.keeper("b", group)
			p := s.pub().sends("m", 1).drop()
			p.open(clean).pub1("m", dup)
			a.got("m", 1)
			b.got("m", 1)
		}, nil},
		{"no member", func(s *script) { a := s.keeper("a", group); s.pub().pub1("m"); a.drained() }, one(history.SharedLost)},
		{"no member, after a visitor left", func(s *script) {
			v, a := s.visitor("v", group), s.keeper("a", group)
			s.pub().pub1("m")
			v.drop()
			a.drained()
		}, one(history.SharedLost)},
		{"QoS 2 of a visitor that left", func(s *script) {
			v, a := s.visitor("v", group), s.keeper("a", group)
			s.pub().pub2("m")
			v.drop()
			a.drained()
		}, nil},
		{"a member away has it", func(s *script) {
			b, a := s.keeper("b", group), s.keeper("a", group)
			s.pub().pub1("m")
			b.drop()
			a.drained()
		}, nil},
		{"a member took it along", func(s *script) {
			b, a := s.keeper("b", group), s.keeper("a", group)
			s.pub().pub1("m")
			b.unsub(group).drained()
			a.drained()
		}, nil},
	}, history.Options{})
}

func TestRetained(t *testing.T) {
	reader := func(s *script, node string) *actor { return s.as("reader at "+node, node).open(clean).sub("t", 1) }
	run(t, []scenario{
		{"the last one", func(s *script) {
			s.pub().pub1("1", retain).pub1("2", retain)
			reader(s, "n1").got("2", 1, retain).drained()
		}, nil},
		{"a replaced one", func(s *script) {
			s.pub().pub1("1", retain).pub1("2", retain)
			reader(s, "n1").got("1", 1, retain).drained()
		}, one(history.RetainedStale)},
		{"a cleared one", func(s *script) {
			s.pub().pub1("1", retain).pub1("", empty, retain)
			reader(s, "n1").got("1", 1, retain).drained()
		}, one(history.RetainedStale)},
		{"one that was sent at the same time", func(s *script) {
			p, q := s.pub(), s.as("q", "n2").open(clean)
			p.sends("1", 1, retain)
			q.pub1("2", retain)
			p.acked(history.PubAck)
			reader(s, "n1").got("1", 1, retain).drained()
		}, nil},
		{"replaced by one whose exchange began earlier", func(s *script) {
			q := s.as("q", "n2").open(keep).sends("2", 2, retain, id(7)).drop()
			s.pub().pub1("1", retain)
			q.open(keep, present).sends("2", 2, retain, dup, id(7)).acked(history.PubRec, id(7))
			reader(s, "n1").got("1", 1, retain).drained()
		}, nil},
		{"replaced by one of QoS 1 that was sent again", func(s *script) {
			q := s.as("q", "n2").open(keep).sends("2", 1, retain, id(7)).drop()
			s.pub().pub1("1", retain)
			q.open(keep, present).sends("2", 1, retain, dup, id(7)).acked(history.PubAck, id(7))
			reader(s, "n1").got("1", 1, retain).drained()
		}, one(history.RetainedStale)},
		{"one without an answer", func(s *script) {
			s.as("q", "n2").open(clean).sends("1", 1, retain).drop()
			s.pub().pub1("2", retain)
			reader(s, "n1").got("1", 1, retain).drained()
		}, nil},
		{"replaced after the subscription", func(s *script) {
			p := s.pub().pub1("1", retain)
			r := reader(s, "n1")
			p.pub1("2", retain)
			r.got("1", 1, retain).got("2", 1).drained()
		}, nil},
		{"none", func(s *script) { s.pub().pub1("1", retain); reader(s, "n1").drained() }, one(history.RetainedMissing)},
		{"a later one came live before the SUBACK", func(s *script) {
			p := s.pub().pub1("1", retain)
			r := s.as("r", "n1").open(clean).asks("t", 1)
			p.sends("2", 1, retain)
			r.got("2", 1).add(history.Event{Kind: history.SubAck, PacketID: r.id, Codes: []int{1}}).drained()
		}, nil},
		{"a later one came live after the SUBACK", func(s *script) {
			p := s.pub().pub1("1", retain)
			r := reader(s, "n1")
			p.sends("2", 1, retain)
			r.got("2", 1).drained()
		}, one(history.RetainedMissing)},
		{"none after clearing", func(s *script) { s.pub().pub1("1", retain).pub1("", empty, retain); reader(s, "n1").drained() }, nil},
		{"none, and maybe cleared", func(s *script) {
			s.pub().pub1("1", retain).sends("", 1, empty, retain)
			reader(s, "n1").drained()
		}, nil},
		{"none, and written without an answer", func(s *script) { s.pub().sends("1", 1, retain); reader(s, "n1").drained() }, nil},
		{"none to a second subscription", func(s *script) {
			s.pub().pub1("1", retain)
			k := s.as("k", "n1").open(keep, present)
			k.sub("t", 1).drained()
		}, one(history.SessionPresentWrong)},
		{"two nodes differ", func(s *script) {
			s.pub().sends("1", 1, retain)
			s.as("q", "n2").open(clean).sends("2", 1, retain)
			s.quiet()
			reader(s, "n1").got("1", 1, retain).drained()
			reader(s, "n2").got("2", 1, retain).drained()
		}, one(history.RetainedDiffers)},
		{"one node has it, and one has nothing", func(s *script) {
			s.pub().sends("1", 1, retain)
			s.quiet()
			reader(s, "n1").got("1", 1, retain).drained()
			reader(s, "n2").drained()
		}, one(history.RetainedDiffers)},
		{"two nodes differ while something is on its way", func(s *script) {
			s.pub().sends("1", 1, retain)
			reader(s, "n1").got("1", 1, retain).drained()
			reader(s, "n2").drained()
		}, nil},
	}, history.Options{})
}

func TestWills(t *testing.T) {
	const more = 40 * time.Second
	run(t, []scenario{
		{"published", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(clean, willOf("w", 0)).drop()
			s.wait(more)
			k.got("w", 1, to("will")).drained()
		}, nil},
		{"not published", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(clean, willOf("w", 0)).drop()
			s.wait(more)
			k.drained()
		}, one(history.WillLost)},
		{"not published, its node was killed", func(s *script) {
			k, w := s.keeper("k", "will"), s.as("w", "n2").open(clean, willOf("w", 0))
			s.fault(history.FaultKill, "n2")
			w.lost()
			s.wait(more)
			k.drained()
		}, one(history.WillLost)},
		{"not published yet", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(keep, willOf("w", 60)).drop()
			s.wait(more)
			k.drained()
		}, nil},
		{"not published after its delay", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(keep, willOf("w", 60)).drop()
			s.wait(2 * more)
			s.wait(more)
			k.drained()
		}, one(history.WillLost)},
		{"not accepted for certain", func(s *script) {
			k := s.keeper("k", "will")
			w, _ := s.as("w", "n2").begin(clean, willOf("w", 0))
			w.drop()
			s.wait(more)
			k.drained()
		}, nil},
		{"taken back", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(clean, willOf("w", 0)).bye().lost()
			s.wait(more)
			k.drained()
		}, nil},
		{"published though taken back", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(clean, willOf("w", 0)).bye().lost()
			k.got("w", 1, to("will"))
		}, one(history.WillVoid)},
		{"taken back, maybe in vain", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(clean, willOf("w", 0)).bye().drop()
			k.got("w", 1, to("will"))
		}, nil},
		{"taken back in a fault", func(s *script) {
			k, w := s.keeper("k", "will"), s.as("w", "n2").open(clean, willOf("w", 0))
			s.fault("partition", "n2")
			w.bye().lost()
			k.got("w", 1, to("will"))
		}, nil},
		{"void by return", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(keep, willOf("w", 60)).drop().open(keep, present)
			s.wait(2 * more)
			s.wait(more)
			k.drained()
		}, nil},
		{"published after the return", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(keep, willOf("w", 60)).drop().open(keep, present)
			k.got("w", 1, to("will"))
		}, one(history.WillVoid)},
		{"published, and the return was late", func(s *script) {
			k := s.keeper("k", "will")
			w := s.as("w", "n2").open(keep, willOf("w", 10))
			s.wait(11 * time.Second) // the connection may have been gone since its CONNECT
			w.drop().open(keep, present)
			k.got("w", 1, to("will"))
		}, nil},
		{"published, and the session was over", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(keep, willOf("w", 60)).drop().open(clean, keep)
			k.got("w", 1, to("will"))
		}, nil},
		{"twice", func(s *script) {
			k := s.keeper("k", "will")
			s.as("w", "n2").open(clean, willOf("w", 0)).drop()
			k.got("w", 1, to("will")).got("w", 1, to("will"), id(2))
		}, one(history.WillTwice)},
	}, history.Options{})
}

func TestWithout(t *testing.T) {
	s := &script{}
	k := s.keeper("k", "t")
	s.pub().pub1("m")
	k.drained()
	require.Len(t, history.Check(s.h, history.Options{}).Violations, 1)
	require.Empty(t, history.Check(s.h, history.Options{Without: one(history.MessageLost)}).Violations)
}

// A summary says that there was something to check.
func TestSummary(t *testing.T) {
	s := &script{}
	k := s.keeper("k", "#")
	p := s.pub().pub1("1", retain)
	s.as("w", "n2").open(clean, willOf("w", 0)).drop()
	p.pub2("2")
	k.got("1", 1).got2("2", id(2)).got("w", 1, to("will"), id(3))
	s.as("r", "n2").open(clean).sub("t", 1).got("1", 1, retain).drained()
	s.wait(time.Minute)
	k.drained()
	r := history.Check(s.h, history.Options{})
	require.Empty(t, r.Violations)
	require.Equal(t, history.Summary{
		Connections: 4, Sessions: 4, Messages: 3, Acknowledged: 2, Deliveries: 4, MustArrive: 2, WillsDue: 1, RetainedRead: 2,
	}, r.Summary)
}
