//go:build !linux

package programtest

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"testing"
	"time"
)

// Switch is a network of hosts, which needs Linux.
type Switch struct{}

// StartSwitch returns nil: there is none here.
func StartSwitch(testing.TB, int, uint64) *Switch { return nil }

// IP is a host's address.
func (*Switch) IP(int) string { return "" }

// Command runs a program on a host.
func (*Switch) Command(_ int, path string, args ...string) *exec.Cmd {
	return exec.Command(path, args...)
}

// DialContext opens a connection from a host.
func (*Switch) DialContext(context.Context, int, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// Cut loses everything that goes from one host to another, or nothing any more.
func (*Switch) Cut(int, int, bool) {}

// Delay has what goes from one host to another take so much longer.
func (*Switch) Delay(int, int, time.Duration) {}

// Loss loses a share of the packets that go from one host to another.
func (*Switch) Loss(int, int, float64) {}

// Reset turns the TCP segments from one host to another into resets for a moment.
func (*Switch) Reset(int, int) {}
