package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// Loopback is where the examples listen unless they are told otherwise, since they let everyone in.
const Loopback = "127.0.0.1"

// ListenAddress reads the value of a flag that says where to listen: ":1883" and "1883" mean Loopback, "0.0.0.0:1883" all interfaces.
// The empty value stays empty.
func ListenAddress(flagName, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	if !strings.Contains(value, ":") {
		value = ":" + value
	}
	host, port, err := net.SplitHostPort(value)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil {
		return "", Usagef("%s %q is not an address; write it as \":1883\" or \"192.0.2.1:1883\"", flagName, value)
	} else if n == 0 {
		return "", Usagef("%s %q has no port; use 1 to 65535", flagName, value)
	}
	if host == "" {
		host = Loopback
	}
	return net.JoinHostPort(host, port), nil
}

// Port is an address that the program is going to listen on.
type Port struct {
	Flag    string // which chose it, such as "-tcp", or another hint
	Address string
	UDP     bool // as well as TCP
}

// CheckPorts tells, in one line, which of the ports cannot be used, before anything is started or written. Should a port be taken between
// this and its use, the error is merely less clear.
func CheckPorts(ctx context.Context, ports []Port) error {
	seen := make(map[string]string)
	for _, p := range ports {
		if other := seen[p.Address]; other != "" {
			return Usagef("%s and %s are both %s; give each an address of its own", other, p.Flag, p.Address)
		}
		seen[p.Address] = p.Flag
	}
	for _, p := range ports {
		if err := tryListen(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func tryListen(ctx context.Context, p Port) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.Address)
	if err == nil {
		err = l.Close()
	}
	if err == nil && p.UDP {
		var pc net.PacketConn
		if pc, err = lc.ListenPacket(ctx, "udp", p.Address); err == nil {
			err = pc.Close()
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is already in use by another program: stop it, or choose another address (%s)", p.Address, p.Flag)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("cannot listen on %s (%s): %w", p.Address, p.Flag, err)
}
