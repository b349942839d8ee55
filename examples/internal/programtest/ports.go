package programtest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// FreePorts returns n different ports that are free on 127.0.0.1, for TCP and UDP. They are below those that the operating system
// gives out by itself, so that no connection takes one of them meanwhile.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	taken := make(map[int]bool)
	var ports []int
	for tries := 0; len(ports) < n && tries < 10_000; tries++ {
		port := 12_000 + rand.IntN(20_000)
		if !taken[port] && free(port) {
			ports = append(ports, port)
		}
		taken[port] = true
	}
	require.Len(t, ports, n)
	return ports
}

func free(port int) bool {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer func() { _ = l.Close() }()
	pc, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	return pc.Close() == nil
}
