package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/examples/internal/programtest"
)

var binary programtest.Binary

func TestMain(m *testing.M) {
	status := m.Run()
	if err := binary.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

const started = "shoal server started"

// member is one node of a cluster of processes, over its restarts.
type member struct {
	*programtest.Process
	name   string
	tcp    int
	args   []string
	gossip string
}

// newMembers returns nodes that are not started. The first one begins the cluster.
func newMembers(t *testing.T, n int, more ...string) []*member {
	t.Helper()
	ports := programtest.FreePorts(t, 5*n)
	members := make([]*member, n)
	var gossip []string
	for i := range members {
		p := ports[5*i:]
		members[i] = &member{name: nodeName(i), tcp: p[0], gossip: fmt.Sprint("localhost:", p[2])}
		members[i].args = append([]string{
			"-node-name", nodeName(i), "-tcp", fmt.Sprint(":", p[0]), "-ws", fmt.Sprint(":", p[1]),
			"-gossip-port", strconv.Itoa(p[2]), "-raft-port", strconv.Itoa(p[3]), "-grpc-port", strconv.Itoa(p[4]),
		}, more...)
		gossip = append(gossip, members[i].gossip)
	}
	members[0].args = append(members[0].args, "-raft-bootstrap")
	for _, m := range members {
		m.args = append(m.args, "-members", strings.Join(gossip, ","))
	}
	return members
}

func (m *member) start(t *testing.T) {
	t.Helper()
	m.Process = binary.Start(t, m.args...)
}

func startAll(t *testing.T, members []*member) {
	t.Helper()
	for _, m := range members {
		m.start(t)
	}
	for _, m := range members {
		m.Await(t, started)
	}
}

func TestThreeProcessesAreOneBroker(t *testing.T) {
	for name, flags := range map[string][]string{"raft port": nil, "grpc-enable": {"-grpc-enable"}} {
		t.Run(name, func(t *testing.T) {
			members := newMembers(t, 3, flags...)
			startAll(t, members)
			for i, m := range members {
				sub := programtest.Connect(t, m.tcp, "sub", false) // the same client, node after node
				sub.Subscribe("a/+", 2)
				pub := programtest.Connect(t, members[(i+1)%3].tcp, "pub", false)
				for qos := range byte(3) {
					pub.Publish("a/b", qos, false, strconv.Itoa(int(qos)))
				}
				for qos := range byte(3) {
					require.Equal(t, qos, sub.Receive("a/b", strconv.Itoa(int(qos))).Qos())
				}
				pub.Close()
				sub.Close()
			}
			for _, m := range members {
				m.Interrupt(t)
			}
		})
	}
}

// Three processes that expect to be three, none of them special.
func TestExpectedSize(t *testing.T) {
	members := newMembers(t, 3)
	for _, m := range members {
		m.args = append(slices.DeleteFunc(m.args, func(a string) bool { return a == "-raft-bootstrap" }), "-raft-expect", "3")
	}
	startAll(t, members)
	sub := programtest.Connect(t, members[0].tcp, "sub", false)
	sub.Subscribe("a", 1)
	programtest.Connect(t, members[2].tcp, "pub", false).Publish("a", 1, false, "x")
	sub.Receive("a", "x")
	for _, m := range members {
		m.Interrupt(t)
	}
}

func TestOneProcessRestarts(t *testing.T) {
	for name, stop := range map[string]func(*testing.T, *member){
		"SIGTERM": func(t *testing.T, m *member) {
			m.Signal(t, syscall.SIGTERM)
			require.Equal(t, 0, m.Exit(t))
		},
		"SIGKILL": func(_ *testing.T, m *member) { m.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			members := newMembers(t, 3, "-data-dir", t.TempDir())
			startAll(t, members)
			sub := programtest.Connect(t, members[1].tcp, "sub", true)
			sub.Subscribe("a/#", 1)
			sub.Close()
			home := programtest.Connect(t, members[0].tcp, "home", true)
			home.Subscribe("home/#", 1)
			home.Close()
			stop(t, members[0])

			pub := programtest.Connect(t, members[2].tcp, "pub", false)
			pub.Publish("a/meanwhile", 1, true, "kept")
			members[0].start(t)
			members[0].Await(t, started)
			sub = programtest.Connect(t, members[0].tcp, "sub", true)
			require.True(t, sub.SessionPresent)
			sub.Receive("a/meanwhile", "kept")
			fresh := programtest.Connect(t, members[0].tcp, "fresh", false)
			fresh.Subscribe("a/meanwhile", 0)
			require.True(t, fresh.Receive("a/meanwhile", "kept").Retained())
			pub.Publish("a/now", 1, false, "again")
			sub.Receive("a/now", "again")
			home = programtest.Connect(t, members[0].tcp, "home", true)
			require.True(t, home.SessionPresent)
			pub.Publish("home/now", 1, false, "again")
			home.Receive("home/now", "again")
		})
	}
}

func TestDataOutlivesARestartOfAllProcesses(t *testing.T) {
	members := newMembers(t, 3, "-data-dir", t.TempDir())
	startAll(t, members)
	prepareSession(t, members[1].tcp, members[2].tcp)
	for _, m := range members {
		m.Interrupt(t)
	}
	startAll(t, members)
	requireSession(t, members[0].tcp, members[1].tcp)
}

// prepareSession leaves a session with messages in it and a retained message.
func prepareSession(t *testing.T, subscribeAt, publishAt int) {
	t.Helper()
	sub := programtest.Connect(t, subscribeAt, "sub", true)
	sub.Subscribe("queued", 1)
	sub.Close()
	pub := programtest.Connect(t, publishAt, "pub", false)
	pub.Publish("kept", 1, true, "retained")
	for i := range 10 {
		pub.Publish("queued", 1, false, strconv.Itoa(i))
	}
	pub.Close()
}

// requireSession finds what prepareSession has left.
func requireSession(t *testing.T, resumeAt, subscribeAt int) {
	t.Helper()
	fresh := programtest.Connect(t, subscribeAt, "fresh", false)
	fresh.Subscribe("kept", 1)
	require.True(t, fresh.Receive("kept", "retained").Retained())
	sub := programtest.Connect(t, resumeAt, "sub", true)
	require.True(t, sub.SessionPresent, "the session is gone")
	for i := range 10 {
		sub.Receive("queued", strconv.Itoa(i))
	}
}

func TestPortInUse(t *testing.T) {
	for _, flag := range []string{"-tcp", "-ws", "-gossip-port", "-raft-port", "-grpc-port"} {
		t.Run(flag, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer func() { _ = l.Close() }()
			_, port, err := net.SplitHostPort(l.Addr().String())
			require.NoError(t, err)
			m := newMembers(t, 1)[0]
			p := binary.Start(t, append(m.args, flag, port)...) // the last one wins
			require.Equal(t, 1, p.Exit(t))
			require.Len(t, p.Lines(), 1)
			require.Contains(t, p.Lines()[0], l.Addr().String()+" is already in use")
			require.Contains(t, p.Lines()[0], "("+flag+")")
		})
	}
}

func TestUsage(t *testing.T) {
	p := binary.Start(t, "-h")
	require.Equal(t, 0, p.Exit(t))
	require.Contains(t, strings.Join(p.Lines(), "\n"), "-raft-bootstrap")

	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"-nodename", "c01"}, "-nodename"},
		{[]string{"-tcp", ":1884"}, "-node-name"},
		{[]string{"-node-name", "../c01"}, "-node-name"},
		{[]string{"-node-name", "."}, "-node-name"},
		{[]string{"-node-name", "c01", "-bind-ip", "localhost"}, "-bind-ip"},
		{[]string{"-node-name", "c01", "-members", "a:1,b"}, "-members"},
		{[]string{"-node-name", "c01", "-gossip-port", "70000"}, "-gossip-port"},
		{[]string{"-node-name", "c01", "-gossip-port", "60000"}, "-grpc-port"},
		{[]string{"-node-name", "c01", "-raft-port", "0"}, "-raft-port"},
		{[]string{"-node-name", "c01", "-raft-port", "7946"}, "-gossip-port and -raft-port"},
		{[]string{"-node-name", "c01", "-tcp", ":x"}, "-tcp"},
		{[]string{"-node-name", "c01", "-tcp", "", "-ws", ""}, "-tcp and -ws"},
		{[]string{"-node-name", "c01", "-raft-bootstrap", "true"}, `"true"`},
		{[]string{"-node-name", "c01", "-storage", "bolt"}, `-storage: "bolt" is no URL of a Redis`},
		{[]string{"-node-name", "c01", "-node-proxy", "here"}, `-node-proxy: "here" is not host:port`},
		{[]string{"-node-name", "c01", "-raft-expect", "0"}, "-raft-expect"},
		{[]string{"-node-name", "c01", "-raft-expect", "3", "-raft-bootstrap"}, "-raft-expect and -raft-bootstrap"},
	} {
		p := binary.Start(t, tc.args...)
		require.Equal(t, 2, p.Exit(t), tc.args)
		require.Contains(t, p.Lines()[0], tc.says)
	}
}

// A node that finds no cluster waits, says so, and can be stopped.
func TestInterruptWhileWaiting(t *testing.T) {
	m := newMembers(t, 2)[1]
	m.start(t)
	m.Await(t, "waiting for the cluster")
	m.Interrupt(t)
}
