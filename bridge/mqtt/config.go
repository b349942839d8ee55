package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// Config says where the other broker is and what crosses.
type Config struct {
	// Name is the bridge's, "mqtt" by default; see shoal.Bridge.
	Name string
	// Addresses are those of the other broker, or of nodes of it: mqtt://host:port, or mqtts://host:port for TLS. One after
	// another is tried, the first of them again after the last.
	Addresses []string
	// TLS is for mqtts, with the certificate that the bridge shows, if it is to show one. Default: what the system trusts.
	TLS *tls.Config
	// Dial, if not nil, connects to one of Addresses in place of what their schemes say: by way of a proxy, for example.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// ClientID is the bridge's at the other broker. It is required, and no other client's there.
	ClientID string
	UserName string
	Password []byte
	// Version is packets.V5, which is the default, or packets.V311.
	Version packets.Version
	// KeepAlive is how often the two hear of each other. Default 30 s.
	KeepAlive time.Duration
	// SessionExpiry is how long the other broker keeps the session while the bridge is away, as far as it can be told. Default 7 days.
	SessionExpiry time.Duration
	// ConnectTimeout bounds one try to connect. Default 10 s.
	ConnectTimeout time.Duration

	// Out are the rules for messages to the other broker, In those for messages from there. A message crosses by the first rule that matches.
	Out, In []Rule

	// Buffer and BufferBytes bound how many messages are on their way to the other broker. Default 1,024, which the broker's
	// Limits.InFlight may lower, and 16 MiB.
	Buffer, BufferBytes int
	// Via is what hops through this bridge are known as: one word for a broker, or all nodes of a cluster. Default: ClientID.
	Via string
}

// Rule says which messages cross, and how their topics change. A message to LocalPrefix + x here is one to RemotePrefix + x there.
type Rule struct {
	// Filter is the TopicFilter of x.
	Filter                    string
	LocalPrefix, RemotePrefix string
	// QoS is the most that messages keep. Default 2, if neither it nor QoS0 is set.
	QoS  packets.QoS
	QoS0 bool
}

// MaxHops is over how many bridges a message may come.
const MaxHops = 16

func (r *Rule) local() string  { return r.LocalPrefix + r.Filter }
func (r *Rule) remote() string { return r.RemotePrefix + r.Filter }

func (c *Config) setDefaults() {
	if c.Name == "" {
		c.Name = "mqtt"
	}
	if c.Version == 0 {
		c.Version = packets.V5
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = 30 * time.Second
	}
	if c.SessionExpiry == 0 {
		c.SessionExpiry = 7 * 24 * time.Hour
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.Via == "" {
		c.Via = c.ClientID
	}
	for _, rules := range [][]Rule{c.Out, c.In} {
		for i := range rules {
			if rules[i].QoS == 0 && !rules[i].QoS0 {
				rules[i].QoS = 2
			}
		}
	}
}

func (c *Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("mqtt: "+format, args...)) }
	if len(c.Addresses) == 0 {
		wrong("Addresses is empty; name at least one, such as mqtts://host:8883")
	}
	for _, a := range c.Addresses {
		if c.Dial != nil {
			break // they are what it makes of them
		}
		if _, _, err := parseAddress(a); err != nil {
			wrong("Addresses: %q: %w", a, err)
		}
	}
	if c.ClientID == "" {
		wrong("ClientID is empty; the other broker keeps the bridge's session by it")
	}
	if c.Version != packets.V5 && c.Version != packets.V311 {
		wrong("Version is %d; use packets.V5 or packets.V311", c.Version)
	}
	if c.KeepAlive < time.Second || c.KeepAlive > 65535*time.Second || c.SessionExpiry < 0 || c.ConnectTimeout < 0 || c.Buffer < 0 || c.BufferBytes < 0 {
		wrong("KeepAlive %v must be 1 s to 65,535 s, and SessionExpiry, ConnectTimeout, Buffer and BufferBytes must not be negative", c.KeepAlive)
	}
	if len(c.Out) == 0 && len(c.In) == 0 {
		wrong("nothing crosses: give Out or In")
	}
	for name, rules := range map[string][]Rule{"Out": c.Out, "In": c.In} {
		for i := range rules {
			if err := rules[i].validate(); err != nil {
				wrong("%s[%d]: %w", name, i, err)
			}
		}
	}
	if c.Version == packets.V311 {
		for i := range c.Out {
			for j := range c.In {
				if topics.Overlap(c.Out[i].remote(), c.In[j].remote()) {
					wrong("Out[%d] and In[%d] overlap at the other broker, and by MQTT 3.1.1 messages would come back for ever; use Version 5, or a RemotePrefix that keeps them apart", i, j)
				}
			}
		}
	}
	return errors.Join(errs...)
}

func (r *Rule) validate() error {
	if r.QoS > 2 {
		return fmt.Errorf("QoS is %d; it must be 0, 1 or 2", r.QoS)
	}
	for _, prefix := range []string{r.LocalPrefix, r.RemotePrefix} {
		if topics.HasWildcard(prefix) {
			return fmt.Errorf("a prefix must not have a wildcard: %q", prefix)
		}
	}
	for _, f := range []string{r.local(), r.remote()} {
		if err := topics.ValidateFilter(f); err != nil {
			return fmt.Errorf("%q: %w", f, err)
		}
	}
	return nil
}

// parseAddress returns where to connect to, and whether by TLS.
func parseAddress(text string) (hostPort string, secure bool, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", false, err
	}
	port := "1883"
	switch u.Scheme {
	case "mqtt", "tcp":
	case "mqtts", "tls", "ssl":
		port, secure = "8883", true
	default:
		return "", false, fmt.Errorf("the scheme is %q; use mqtt:// or mqtts://", u.Scheme)
	}
	if u.Hostname() == "" {
		return "", false, errors.New("there is no host")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port), secure, nil
}
