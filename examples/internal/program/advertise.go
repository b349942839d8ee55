package program

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/shoalmq/shoal/internal/config"
)

// AdvertiseIP is the address that other nodes are told, "" if it is the one that the node listens on. One that has to be chosen is that from which
// the members are reached.
func (a *App) AdvertiseIP(ctx context.Context) (string, error) {
	c := &a.Cluster
	bind, err := netip.ParseAddr(c.BindAddr)
	if err != nil {
		return "", err // cannot be: it was checked
	}
	if c.AdvertiseAddr != "" {
		return resolve(ctx, a.Loaded, c.AdvertiseAddr)
	}
	if !bind.IsUnspecified() {
		return "", nil
	}
	ip, how, err := routeToMembers(ctx, c.Members)
	if err != nil {
		return "", Usagef("%s is %s, which means every address: %v; give one by -advertise", a.GivenBy("cluster.bind-addr"), c.BindAddr, err)
	}
	a.Log.Info("other nodes are told an address that was chosen; -advertise chooses another", "address", ip, "because", how)
	return ip, nil
}

func resolve(ctx context.Context, l *config.Loaded, host string) (string, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil || len(found) == 0 {
		return "", Usagef("%s: %q is not an address, and no name that can be looked up: %v", l.GivenBy("cluster.advertise-addr"), host, err)
	}
	return found[0], nil
}

// routeToMembers finds the address of this machine that the system uses towards the members, and says how. No packet is sent.
func routeToMembers(ctx context.Context, members []string) (ip, how string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var d net.Dialer
	loopback := ""
	for _, m := range members {
		conn, err := d.DialContext(ctx, "udp", m)
		if err != nil {
			continue // a name that is not known yet
		}
		local, _, err := net.SplitHostPort(conn.LocalAddr().String())
		_ = conn.Close() // nothing was sent
		if err != nil {
			continue
		}
		if parsed, err := netip.ParseAddr(local); err == nil && parsed.IsLoopback() {
			loopback = local
			continue
		}
		return local, "it is used towards " + m, nil
	}
	if loopback != "" && len(members) > 0 {
		return loopback, "all members are on this machine", nil
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", errNoAddress, err)
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return p.Addr().String(), "it is the first of this machine, and no member could be looked up", nil
		}
	}
	return "", "", errNoAddress
}
