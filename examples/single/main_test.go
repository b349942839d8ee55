package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/examples/internal/programtest"
)

var single programtest.Binary

func TestMain(m *testing.M) {
	status := m.Run()
	if err := single.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

const started = "shoal server started"

func TestDataOutlivesARestart(t *testing.T) {
	port := programtest.FreePorts(t, 1)[0]
	args := []string{"-tcp", fmt.Sprint(":", port), "-data-dir", t.TempDir()}
	p := single.Start(t, args...)
	p.Await(t, started)
	sub := programtest.Connect(t, port, "sub", true)
	require.False(t, sub.SessionPresent)
	sub.Subscribe("queued/#", 1)
	sub.Close()
	pub := programtest.Connect(t, port, "pub", false)
	pub.Publish("kept", 1, true, "retained")
	for i := range 10 {
		pub.Publish("queued/a", 1, false, strconv.Itoa(i))
	}
	pub.Close()
	p.Interrupt(t)

	p = single.Start(t, args...)
	p.Await(t, started)
	sub = programtest.Connect(t, port, "sub", true)
	require.True(t, sub.SessionPresent)
	for i := range 10 {
		sub.Receive("queued/a", strconv.Itoa(i))
	}
	fresh := programtest.Connect(t, port, "fresh", false)
	fresh.Subscribe("kept", 1)
	require.True(t, fresh.Receive("kept", "retained").Retained())
	p.Interrupt(t)
}

func TestDataOutlivesSIGKILL(t *testing.T) {
	port := programtest.FreePorts(t, 1)[0]
	args := []string{"-tcp", fmt.Sprint(":", port), "-data-dir", t.TempDir()}
	p := single.Start(t, args...)
	p.Await(t, started)
	pub := programtest.Connect(t, port, "pub", false)
	pub.Publish("kept", 1, true, "acknowledged")
	p.Kill()

	p = single.Start(t, args...)
	p.Await(t, started)
	sub := programtest.Connect(t, port, "sub", false)
	sub.Subscribe("kept", 1)
	sub.Receive("kept", "acknowledged")
}

// A will is published though the broker was killed, and once.
func TestWillsOutliveSIGKILL(t *testing.T) {
	port := programtest.FreePorts(t, 1)[0]
	args := []string{"-tcp", fmt.Sprint(":", port), "-data-dir", t.TempDir()}
	p := single.Start(t, args...)
	p.Await(t, started)
	watch := programtest.Connect(t, port, "watch", true)
	watch.Subscribe("w/#", 1)
	for _, id := range []string{"a", "b"} {
		programtest.ConnectWithWill(t, port, id, id == "a", "w/"+id, "will of "+id)
	}
	watch.Publish("nowhere", 1, true, "stored behind the wills")
	p.Kill()

	p = single.Start(t, args...)
	p.Await(t, started)
	watch = programtest.Connect(t, port, "watch", true)
	watch.Receive("w/a", "will of a")
	watch.Receive("w/b", "will of b")
	watch.Publish("w/end", 1, false, "first")
	watch.Receive("w/end", "first")
	watch.Publish("nowhere", 1, true, "kept after the acknowledgements")
	p.Kill()

	p = single.Start(t, args...)
	p.Await(t, started)
	watch = programtest.Connect(t, port, "watch", true)
	watch.Publish("w/end", 1, false, "second")
	m := watch.Next()
	for ; m.Duplicate(); m = watch.Next() { // its acknowledgement was lost with the process
	}
	require.Equal(t, "second", string(m.Payload()), "no will was published again")
	p.Interrupt(t)
}

func TestListensOnLoopbackAndSaysSo(t *testing.T) {
	ports := programtest.FreePorts(t, 2)
	p := single.Start(t, "-tcp", fmt.Sprint(":", ports[0]), "-ws", strconv.Itoa(ports[1]))
	p.Await(t, started)
	p.Await(t, "Ctrl-C")
	said := strings.Join(p.Lines(), "\n")
	require.Contains(t, said, fmt.Sprintf("attached listener address=127.0.0.1:%d protocol=tcp", ports[0]))
	require.Contains(t, said, fmt.Sprintf("attached listener address=127.0.0.1:%d protocol=ws", ports[1]))
	require.Contains(t, said, "everyone is let in")
	require.Contains(t, said, fmt.Sprintf("mosquitto_sub -h 127.0.0.1 -p %d", ports[0]))

	ws := programtest.ConnectURL(t, fmt.Sprintf("ws://127.0.0.1:%d/mqtt", ports[1]), "ws", false)
	ws.Subscribe("a", 0)
	programtest.Connect(t, ports[0], "tcp", false).Publish("a", 0, false, "x")
	ws.Receive("a", "x")
	p.Interrupt(t)
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	p := single.Start(t, "-tcp", l.Addr().String())
	require.Equal(t, 1, p.Exit(t))
	require.Len(t, p.Lines(), 1)
	require.Contains(t, p.Lines()[0], l.Addr().String()+" is already in use")
	require.Contains(t, p.Lines()[0], "-tcp")
}

func TestDataDirInUse(t *testing.T) {
	ports := programtest.FreePorts(t, 2)
	dir := t.TempDir()
	single.Start(t, "-tcp", fmt.Sprint(":", ports[0]), "-data-dir", dir).Await(t, started)
	p := single.Start(t, "-tcp", fmt.Sprint(":", ports[1]), "-data-dir", dir)
	require.Equal(t, 1, p.Exit(t))
	lines := p.Lines()
	require.Contains(t, lines[len(lines)-1], "mqtt.db: locked by another process")
}

func TestTemporaryDataIsRemoved(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	p := single.Start(t, "-tcp", fmt.Sprint(":", programtest.FreePorts(t, 1)[0]))
	p.Await(t, started)
	entries, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	p.Signal(t, syscall.SIGTERM)
	require.Equal(t, 0, p.Exit(t))
	entries, err = os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestUsage(t *testing.T) {
	p := single.Start(t, "-h")
	require.Equal(t, 0, p.Exit(t))
	require.Contains(t, strings.Join(p.Lines(), "\n"), "-data-dir")

	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"-tpc", ":1"}, "-tpc"},
		{[]string{"-tcp", "nowhere:x"}, "-tcp"},
		{[]string{"-tcp", ":0"}, "-tcp"},
		{[]string{"-ws", "70000"}, "-ws"},
		{[]string{"-tcp", "", "-ws", ""}, "-tcp and -ws"},
		{[]string{"-tcp", ":18899", "-ws", ":18899"}, "-tcp and -ws"},
		{[]string{"-log-level", "loud"}, "-log-level"},
		{[]string{"1883"}, `"1883"`},
	} {
		p := single.Start(t, tc.args...)
		require.Equal(t, 2, p.Exit(t), tc.args)
		require.Contains(t, p.Lines()[0], tc.says)
	}
}
