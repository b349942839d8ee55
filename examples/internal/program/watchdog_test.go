package program

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// systemd is told that the program is alive as long as the broker answers, and again once it does.
func TestWatchdogIsFedWhileTheBrokerAnswers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	t.Setenv("NOTIFY_SOCKET", socket)
	fed := func(within time.Duration) bool {
		require.NoError(t, l.SetReadDeadline(time.Now().Add(within)))
		b := make([]byte, 100)
		n, err := l.Read(b)
		return err == nil && strings.Contains(string(b[:n]), "WATCHDOG=1")
	}
	var stuck sync.Mutex
	ctx, cancel := context.WithCancel(t.Context())
	var said bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() {
		feedWatchdog(ctx, 20*time.Millisecond, func() {
			stuck.Lock()
			defer stuck.Unlock()
		}, slog.New(slog.NewTextHandler(&said, nil)))
	})
	require.True(t, fed(20*time.Second))
	require.True(t, fed(20*time.Second))
	stuck.Lock()
	fed(100 * time.Millisecond) // what was on its way
	require.False(t, fed(300*time.Millisecond), "it is fed while the broker is stuck")
	stuck.Unlock()
	require.True(t, fed(20*time.Second))
	cancel()
	wg.Wait()
	require.Equal(t, 1, strings.Count(said.String(), "does not answer"), said.String())
}
