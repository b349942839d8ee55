package testservers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// reservePort returns a port of 127.0.0.1 on which nobody listens, for a program that must be told
// one. It lies outside the range from which the system gives ports to those that ask for any, so
// that no connection takes it meanwhile, and other processes that use this package leave it alone
// until the test has ended.
func reservePort(t testing.TB) int {
	t.Helper()
	first, last := outsideEphemeral()
	for range 1000 {
		port := first + rand.IntN(last-first+1)
		unlock, ok := lockPort(t, port)
		if !ok {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			unlock()
			continue
		}
		_ = l.Close()
		t.Cleanup(unlock)
		return port
	}
	t.Fatalf("no free port from %d to %d", first, last)
	return 0
}

// outsideEphemeral returns the larger range of ports that the system does not give away itself.
func outsideEphemeral() (first, last int) {
	low, high := 32768, 60999 // Linux's default
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(text), &low, &high) // else the default
	}
	const least, most = 10_000, 65_535
	if low-least > most-high {
		return least, low - 1
	}
	if high >= most-100 { // everything is ephemeral
		return 2000, least
	}
	return high + 1, most
}

// lockPort marks a port as in use by this process until it ends or unlocks it.
func lockPort(t testing.TB, port int) (unlock func(), ok bool) {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "shoal-test-ports")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, false // of another user
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, false
	}
	return func() { _ = f.Close() }, true
}
