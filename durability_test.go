package shoal

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

func TestDurabilityNames(t *testing.T) {
	for d := DurabilityDefault; d <= DurabilityFsync; d++ {
		got, err := ParseDurability(d.String())
		require.NoError(t, err)
		require.Equal(t, d, got)
	}
	d, err := ParseDurability("")
	require.NoError(t, err)
	require.Equal(t, DurabilityDefault, d)
	_, err = ParseDurability("disk")
	require.ErrorContains(t, err, `"disk" is unknown; use memory, quorum or fsync`)
}

// TestDurabilityOf holds that the most special setting counts.
func TestDurabilityOf(t *testing.T) {
	const m, q, f = DurabilityMemory, DurabilityQuorum, DurabilityFsync
	all := Durabilities{
		Broker:    m,
		Listeners: map[string]Durability{"quorum": q, "default": DurabilityDefault},
		Topics:    map[string]Durability{"a": f, "a/b": m, "a/b/c": q, "x/y": f, "a/d": DurabilityDefault, "/": f},
	}
	for _, tc := range []struct {
		d               Durabilities
		listener, topic string
		want            Durability
	}{
		{Durabilities{}, "any", "t", q},
		{Durabilities{Broker: f}, "any", "t", f},
		{all, "", "t", m},
		{all, "unnamed", "t", m},
		{all, "default", "t", m},
		{all, "quorum", "t", q},
		{all, "quorum", "a", f},
		{all, "quorum", "a/", f},
		{all, "quorum", "a/x/y/z", f},
		{all, "quorum", "ab", q},
		{all, "quorum", "a/b", m},
		{all, "quorum", "a/bc", f},
		{all, "quorum", "a/b/x", m},
		{all, "quorum", "a/b/c/d", q},
		{all, "quorum", "a/d/e", f},
		{all, "quorum", "x", q},
		{all, "quorum", "x/y", f},
		{all, "quorum", "/", f},
		{all, "quorum", "/a", q},
	} {
		require.Equal(t, tc.want, tc.d.ofMessage(tc.topic, tc.d.of(tc.listener)), "listener %q, topic %q", tc.listener, tc.topic)
	}
}

// withoutDisk is a cluster whose log is in memory.
type withoutDisk struct{ idle }

func (withoutDisk) Stable() bool { return false }

func TestDurabilityIsChecked(t *testing.T) {
	for name, tc := range map[string]struct {
		d    Durabilities
		opts []Option
		want string
	}{
		"unknown":                {d: Durabilities{Broker: 9}, want: "Broker is Durability(9)"},
		"a listener there isn't": {d: Durabilities{Listeners: map[string]Durability{"tcp://:1": DurabilityMemory}}, want: `Listeners names "tcp://:1"`},
		"a wildcard":             {d: Durabilities{Topics: map[string]Durability{"a/#": DurabilityMemory}}, want: `Topics has "a/#"`},
		"half a level":           {d: Durabilities{Topics: map[string]Durability{"a/": DurabilityMemory}}, want: `Topics has "a/"`},
		"no topic":               {d: Durabilities{Topics: map[string]Durability{"": DurabilityMemory}}, want: `Topics has ""`},
		"no disk":                {d: Durabilities{Broker: DurabilityFsync}, opts: []Option{WithCluster(withoutDisk{})}, want: "cluster.Config.Dir"},
		"no disk for a topic":    {d: Durabilities{Topics: map[string]Durability{"a": DurabilityFsync}}, opts: []Option{WithCluster(withoutDisk{})}, want: "Topics[a] is fsync"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(append(tc.opts, WithAnonymous(), WithDurability(tc.d))...)
			require.ErrorContains(t, err, "shoal: WithDurability: ")
			require.ErrorContains(t, err, tc.want)
		})
	}
	_, err := New(WithAnonymous(), WithListen("tcp://127.0.0.1:0"), WithDurability(Durabilities{
		Broker: DurabilityMemory, Listeners: map[string]Durability{"tcp://127.0.0.1:0": DurabilityFsync, inProcess: DurabilityQuorum},
	}))
	require.NoError(t, err)
}

// proposals is a cluster that notes what is proposed, and how.
type proposals struct {
	idle
	made *[]proposed
}

type proposed struct {
	stable bool
	done   func(any, error)
}

func (p proposals) ProposeAsync(_ []byte, done func(any, error)) {
	*p.made = append(*p.made, proposed{false, done})
}

func (p proposals) ProposeStable(_ []byte, done func(any, error)) {
	*p.made = append(*p.made, proposed{true, done})
}

// TestReplicationWaitsForDisks holds that whoever waits for disks has what was changed before on them, and that nobody else does.
func TestReplicationWaitsForDisks(t *testing.T) {
	a := newAgreed(t)
	p := proposals{made: new([]proposed)}
	a.n.c = p
	r := a.n.b.journal.replication
	s := a.n.b.newSession("client")
	s.expiry = max(s.expiry, 60)
	s.setDurable(true)
	change := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		r.meta(s)
	}
	wait := func(d Durability) *packets.ReasonCode {
		code := new(packets.ReasonCode)
		*code = 0xff
		w := newAcceptance()
		w.then = func(c packets.ReasonCode) { *code = c }
		a.n.b.journal.await(w, d)
		w.finish(packets.Success)
		return code
	}
	propose := func(stable ...bool) (list []proposed) {
		t.Helper()
		r.propose()
		list = *p.made
		*p.made = nil
		require.Len(t, list, len(stable))
		for i, want := range stable {
			require.Equal(t, want, list[i].stable)
		}
		return list
	}
	const pending = packets.ReasonCode(0xff)

	require.Equal(t, packets.Success, *wait(DurabilityFsync), "nothing has changed")
	change()
	memory, quorum := wait(DurabilityMemory), wait(DurabilityQuorum)
	require.Equal(t, packets.Success, *memory)
	first := propose(false)
	joined, fsync := wait(DurabilityQuorum), wait(DurabilityFsync)
	require.Equal(t, pending, *quorum)
	first[0].done(nil, nil)
	require.Equal(t, packets.Success, *quorum)
	require.Equal(t, packets.Success, *joined)
	require.Equal(t, pending, *fsync, "it is not on the disks")
	second := propose(true)
	second[0].done(nil, nil)
	require.Equal(t, packets.Success, *fsync)
	require.Equal(t, packets.Success, *wait(DurabilityFsync), "it is on the disks")
	propose()

	change()
	quorum, fsync = wait(DurabilityQuorum), wait(DurabilityFsync)
	third := propose(true)
	joined = wait(DurabilityFsync)
	third[0].done(nil, errors.New("broken"))
	for _, code := range []*packets.ReasonCode{quorum, fsync, joined} {
		require.Equal(t, packets.ImplementationSpecificError, *code)
	}
	require.Equal(t, pending, *wait(DurabilityFsync), "it has failed, and nothing is known of the disks")
}

// TestDurabilityTravels holds that a message is as durable on the node it is forwarded to, and on its way again after a loss.
func TestDurabilityTravels(t *testing.T) {
	for d := DurabilityDefault; d <= DurabilityFsync; d++ {
		p := packets.Publish{TopicName: "t", QoS: 1, Payload: []byte("x")}
		r := &routing{p: &p, durability: d}
		f := readForwarded(codec.NewReader(appendForward(nil, r, nil)), 0)
		require.Equal(t, d, f.durability)
		require.Equal(t, p.Payload, f.p.Payload)
		m := r.message()
		require.Equal(t, byte(d), m.Durability)
		for _, flags := range []core.Message{{QoS: 2, Retain: true, Expires: 1}, {}} {
			flags.Durability = byte(d)
			got := readMessage(codec.NewReader(appendMessage(nil, &flags)))
			flags.Payload = got.Payload
			require.Equal(t, &flags, got)
		}
		var again routing
		again.again(&p, m, 0)
		require.Equal(t, d, again.durability)
	}
}

// TestDurabilityOfConnection holds that a connection has what its listener has.
func TestDurabilityOfConnection(t *testing.T) {
	b, err := New(WithAnonymous(), WithListen("tcp://127.0.0.1:0"), WithDurability(Durabilities{
		Broker: DurabilityMemory, Listeners: map[string]Durability{"tcp://127.0.0.1:0": DurabilityFsync},
	}))
	require.NoError(t, err)
	one, other := net.Pipe()
	defer func() { _, _ = one.Close(), other.Close() }()
	require.Equal(t, DurabilityFsync, newConn(b, one, "tcp://127.0.0.1:0").durability)
	require.Equal(t, DurabilityMemory, newConn(b, one, inProcess).durability)
}
