package shoal

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/growth"
	core "github.com/shoalmq/shoal/internal/session"
)

// What is done for each message, or for each session that comes, goes or moves, must not take the longer the more of them there are: a broker with a
// hundred times as many would be ten thousand times as slow.

// unconnected returns a broker that was not started, and n sessions without a connection.
func unconnected(t testing.TB, n int) (b *Broker, list []*session) {
	b, err := New(WithAnonymous())
	require.NoError(t, err)
	for i := range n {
		s := b.newSession(fmt.Sprint("s", i))
		s.enter(phaseHome)
		b.sessions.put(s)
		list = append(list, s)
	}
	return b, list
}

// oneMessageToMany gives one QoS 2 message to n lasting sessions, which then end; see origins.
func oneMessageToMany(t testing.TB) growth.Work {
	return func(n int) func() {
		x := &newAgreed(t).origins
		o := &core.Origin{PacketID: 7, At: 3}
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint("s", i)
		}
		return func() {
			for _, name := range names {
				if !x.take("p", o, holder{kind: holderSession, name: name, filter: "f"}, false) {
					panic("it is the first")
				}
			}
			for _, name := range names {
				x.forgetSession(name)
			}
			if x.some() {
				panic("nobody holds it any more")
			}
		}
	}
}

// manyMessagesToOne has n publishers give a QoS 2 message each to a session of its own, each of which moves to another node.
func manyMessagesToOne(t testing.TB) growth.Work {
	return func(n int) func() {
		x := &newAgreed(t).origins
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint("s", i)
			x.take(names[i], &core.Origin{PacketID: 7, At: 3}, holder{kind: holderSession, name: names[i], filter: "f"}, false)
		}
		return func() {
			for _, name := range names {
				if x.appendHadBy(nil, name)[0] != 1 {
					panic("it holds one")
				}
				x.unagree(name, 0)
				x.forgetSession(name)
			}
		}
	}
}

// groupOfMany has n sessions join a shared group, come and go, and leave; the group is counted and picked from each time.
func groupOfMany(t testing.TB) growth.Work {
	return func(n int) func() {
		b, sessions := unconnected(t, n)
		subs := make([]*subscription, n)
		const name = "$share/g/t"
		return func() {
			for i, s := range sessions {
				sub := &subscription{s: s, filter: name, match: "t", qos: 1, shared: true}
				again := *sub
				_, err := s.subscribe(sub)
				require.NoError(t, err)
				_, err = s.subscribe(&again)
				require.NoError(t, err)
				subs[i] = &again
			}
			g := b.groups.get(name)
			come := func(online bool, s *session) {
				s.mu.Lock()
				s.setOnline(online)
				s.mu.Unlock()
			}
			for i, s := range sessions {
				come(true, s)
				if g.count() != (members{all: n, online: 1, keep: n - 1}) || g.pick(chooser{}) != subs[i] {
					panic("one is online")
				}
				come(false, s)
			}
			for i := range sessions {
				sessions[n-1-i].unsubscribe(name)
			}
			if b.groups.get(name) != nil {
				panic("all have left")
			}
		}
	}
}

// sysOfMany has as many subscribe to one topic of the broker's own as there are sessions.
func sysOfMany(t testing.TB) growth.Work {
	return func(n int) func() {
		b, _ := unconnected(t, n)
		b.sys.started = time.Now()
		return func() {
			for range n {
				if len(b.sys.messages("$SYS/broker/uptime", time.Now())) != 1 {
					panic("there is one")
				}
			}
		}
	}
}

// Growth of what each thing costs, by what is done; see the works for what the things are.
var works = []struct {
	name  string
	small int
	work  func(t testing.TB) growth.Work
}{
	{"OneMessageToManySessions", 160, oneMessageToMany},
	{"SessionsWithMessagesMove", 160, manyMessagesToOne},
	{"GroupOfManyMembers", 100, groupOfMany},
	{"SysSubscriptionsOfManySessions", 100, sysOfMany},
}

func TestCostsDoNotGrowWithHowManyThereAre(t *testing.T) {
	for _, w := range works {
		t.Run(w.name, func(t *testing.T) { growth.Linear(t, w.small, w.work(t)) })
	}
}

func BenchmarkGrowth(b *testing.B) {
	for _, w := range works {
		b.Run(w.name, func(b *testing.B) { growth.Benchmark(b, w.small, w.work(b)) })
	}
}
