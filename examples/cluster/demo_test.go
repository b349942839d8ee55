package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/examples/internal/program"
	"github.com/shoalmq/shoal/examples/internal/programtest"
)

// output is a buffer that a program writes to and a test reads.
type output struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.String()
}

// startTestDemo runs the demonstration on the given ports. stop is its Ctrl-C.
func startTestDemo(t *testing.T, ports []int, dir string) (*output, func() error) {
	t.Helper()
	var addresses []string
	for _, p := range ports {
		addresses = append(addresses, fmt.Sprint("127.0.0.1:", p))
	}
	ctx, cancel := context.WithCancel(t.Context())
	said := new(output)
	done := make(chan error, 1)
	go func() { done <- runDemo(ctx, addresses, dir, program.NewLogger(said, slog.LevelInfo), said) }()
	stop := func() error { cancel(); return <-done }
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Log(said)
		}
	})
	require.Eventually(t, func() bool { return strings.Contains(said.String(), "Ctrl-C ends it") }, 30*time.Second, 10*time.Millisecond)
	return said, stop
}

func TestDemonstration(t *testing.T) {
	ports := programtest.FreePorts(t, 3)
	dir := t.TempDir()
	said, stop := startTestDemo(t, ports, dir)
	for _, line := range []string{
		"shoal initializing", "everyone is let in", "storage dir=" + dir, "found leader leader=c01",
		"node joined node=c01", "node joined node=c02", "node joined node=c03",
		fmt.Sprintf("attached listener address=127.0.0.1:%d protocol=tcp", ports[0]),
		fmt.Sprintf("attached listener address=127.0.0.1:%d protocol=tcp", ports[1]),
		fmt.Sprintf("attached listener address=127.0.0.1:%d protocol=tcp", ports[2]),
		started,
		fmt.Sprintf("mosquitto_sub -h 127.0.0.1 -p %d", ports[0]),
		fmt.Sprintf("mosquitto_pub -h 127.0.0.1 -p %d", ports[2]),
	} {
		require.Contains(t, said.String(), line)
	}
	prepareSession(t, ports[0], ports[2])
	require.NoError(t, stop())

	// The ports between the nodes are others now, and the data is the same.
	_, stop = startTestDemo(t, ports, dir)
	requireSession(t, ports[1], ports[2])
	require.NoError(t, stop())
}

func TestDemonstrationPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	said := new(output)
	addresses := []string{fmt.Sprint("127.0.0.1:", programtest.FreePorts(t, 1)[0]), l.Addr().String()}
	err = runDemo(t.Context(), addresses, t.TempDir(), program.NewLogger(said, slog.LevelInfo), said)
	require.ErrorContains(t, err, l.Addr().String()+" is already in use")
	require.ErrorContains(t, err, "node c02")
	require.Empty(t, said.String())
}

// TestDemonstrationProgram is the program as the README runs it. Its ports are fixed; the test needs them free.
func TestDemonstrationProgram(t *testing.T) {
	for _, a := range demoAddresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Skipf("%s is in use by another program", a)
		}
		require.NoError(t, l.Close())
	}
	p := binary.Start(t)
	p.Await(t, "Ctrl-C ends it")
	sub := programtest.Connect(t, 1883, "sub", false)
	sub.Subscribe("hello/#", 2)
	for _, port := range []int{1883, 1885, 1887} {
		pub := programtest.Connect(t, port, "pub", false)
		pub.Publish("hello/shoal", 2, false, fmt.Sprint(port))
		sub.Receive("hello/shoal", fmt.Sprint(port))
		pub.Close()
	}
	second := binary.Start(t)
	require.Equal(t, 1, second.Exit(t))
	require.Len(t, second.Lines(), 1)
	require.Contains(t, second.Lines()[0], "127.0.0.1:1883 is already in use")
	p.Interrupt(t)
}
