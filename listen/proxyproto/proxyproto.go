// Package proxyproto takes the addresses of clients from the PROXY protocol, versions 1 and 2, where a load balancer in front of the broker
// tells them.
//
//	l, err := net.Listen("tcp", ":1883")
//	p, err := proxyproto.New(l, []string{"10.0.0.0/8"})
//	b, err := shoal.New(shoal.WithListener(p), …)
//
// Put it below TLS: tls.NewListener(p, config).
package proxyproto

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// headerTimeout is how long a trusted proxy may take to send its header.
const headerTimeout = 5 * time.Second

// New returns a listener of the connections of inner, which it closes. A connection from one of the trusted addresses or networks, such as "10.0.0.0/8", must
// begin with a header, which says who the client is; without one it ends. What others send is never taken for a header. Nobody
// trusted is an error.
func New(inner net.Listener, trusted []string) (net.Listener, error) {
	var networks []netip.Prefix
	for _, t := range trusted {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			a, aerr := netip.ParseAddr(t)
			if aerr != nil {
				return nil, fmt.Errorf("proxyproto: %q is neither an address nor a network such as 10.0.0.0/8", t)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		networks = append(networks, p.Masked())
	}
	if len(networks) == 0 {
		return nil, fmt.Errorf("proxyproto: nobody is trusted; name the addresses of the proxies")
	}
	return readHeaders(&proxyproto.Listener{
		Listener:          inner,
		ReadHeaderTimeout: headerTimeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if trusts(networks, o.Upstream) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}), nil
}

func trusts(networks []netip.Prefix, from net.Addr) bool {
	port, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return false
	}
	for _, n := range networks {
		if n.Contains(port.Addr().Unmap()) {
			return true
		}
	}
	return false
}
