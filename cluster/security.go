package cluster

import (
	"context"
	"fmt"
	"net"

	"github.com/shoalmq/shoal/cluster/internal/secure"
)

// validateSecurity checks Config.TLS and Config.GossipKeys.
func (c *Config) validateSecurity(bad func(field, format string, args ...any)) {
	if t := c.TLS; t != nil {
		if t.ServerName == "" {
			bad("TLS", "ServerName is empty; set it to the name that the certificates of all nodes are made out to")
		}
		if t.RootCAs == nil {
			bad("TLS", "RootCAs is empty; set it to the authority that signs the certificates of the nodes, and of nobody else")
		}
		if len(t.Certificates) == 0 && (t.GetCertificate == nil || t.GetClientCertificate == nil) {
			bad("TLS", "there is no certificate; set Certificates, or both GetCertificate and GetClientCertificate")
		}
		if t.InsecureSkipVerify {
			bad("TLS", "InsecureSkipVerify is set: anybody could pretend to be a node; set RootCAs and ServerName instead")
		}
	}
	if err := checkGossipKeys(c.GossipKeys); err != nil {
		bad("GossipKeys", "%v", err)
	}
}

func checkGossipKeys(keys [][]byte) error {
	for i, k := range keys {
		switch len(k) {
		case 16, 24, 32:
		default:
			return fmt.Errorf("key %d has %d bytes; use 32 random bytes, or 16 or 24", i+1, len(k))
		}
	}
	return nil
}

// SetGossipKeys changes the keys of the gossip while the node runs: the first encrypts from now on, all decrypt. To change a key without
// interruption, add the new one behind the old one on every node, then put it in front on every node, then leave the old one out. A
// cluster that was started without keys cannot get some later, nor lose them.
func (c *Cluster) SetGossipKeys(keys [][]byte) error {
	if err := checkGossipKeys(keys); err != nil {
		return fmt.Errorf("cluster: gossip keys: %w", err)
	}
	if err := c.gossip.SetKeys(keys); err != nil {
		return fmt.Errorf("cluster: gossip keys: %w", err)
	}
	return nil
}

// secured returns l, or, with TLS, a listener of what l accepts and what has shown a certificate.
func (c *Cluster) secured(l net.Listener) net.Listener {
	if c.cfg.TLS == nil {
		return l
	}
	return secure.Listen(l, secure.ServerConfig(c.cfg.TLS), c.cfg.Logger)
}

// dialer returns how other nodes are reached.
func (c *Cluster) dialer() func(context.Context, string) (net.Conn, error) {
	if c.cfg.TLS == nil {
		return c.cfg.Network.Dial
	}
	return secure.Dialer(c.cfg.TLS, c.cfg.Logger, c.cfg.Network.Dial)
}
