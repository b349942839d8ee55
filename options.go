package shoal

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/shoalmq/shoal/internal/listen"
	"github.com/shoalmq/shoal/packets"
)

// Option configures a Broker. Options are checked together by New.
type Option func(*config)

type config struct {
	listen    []string
	listeners []net.Listener
	tls       *tls.Config
	storage   Storage
	auth      []Authenticator
	hooks     []any
	cluster   []Cluster
	bridges   []Bridge
	logger    *slog.Logger
	limits    Limits
	caps      Capabilities

	sysInterval         time.Duration
	responseInformation func(ClientInfo) string
	perSubscription     bool
	connLimits          ConnectionLimits
	durabilities        Durabilities
	rateLimits          RateLimits
	flapping            *Flapping
	anyPrincipal        bool
	totals              TotalLimits
	tenants             *TotalLimits // nil: no limits by tenant
	tenantOf            func(principal string) string
	memoryLimit         int64
	customs             customs
	origins             []string
	strategies          map[string]SharedStrategy // by ShareName, "" for all others
}

// WithListen adds addresses to listen on: tcp://host:port, tls://host:port, ws://host:port/path, wss://host:port/path
// (the path is /mqtt unless given; / answers on any) and unix:///path. An empty host means all interfaces. Port 0 takes a free port;
// Broker.Addrs tells which. tls and wss need WithTLSConfig.
func WithListen(urls ...string) Option {
	return func(c *config) { c.listen = append(c.listen, urls...) }
}

// WithListener adds a listener whose connections speak MQTT directly. The broker closes it.
func WithListener(l net.Listener) Option {
	return func(c *config) { c.listeners = append(c.listeners, l) }
}

// WithTLSConfig sets the configuration of tls and wss listeners. Set its ClientAuth to ask for client certificates.
func WithTLSConfig(t *tls.Config) Option { return func(c *config) { c.tls = t } }

// WithStorage keeps sessions and retained messages in s. Without it they live as long as the process. The broker closes s.
// A node of a cluster can only be given a store that all nodes share (FencedStorage), such as storage/redis; without one the
// nodes keep sessions in the log that they replicate.
func WithStorage(s Storage) Option { return func(c *config) { c.storage = s } }

// WithAuthenticator sets who may connect, and, if a is an Authorizer, too, what they may do. Exactly one of
// WithAuthenticator and WithAnonymous is required.
func WithAuthenticator(a Authenticator) Option {
	return func(c *config) { c.auth = append(c.auth, a) }
}

// WithAnonymous lets everyone connect and do everything.
func WithAnonymous() Option { return WithAuthenticator(anonymous{}) }

// WithHook registers interceptors and observers; see ConnectInterceptor and its neighbours.
func WithHook(h ...any) Option { return func(c *config) { c.hooks = append(c.hooks, h...) } }

// WithCluster makes the broker a node of a cluster.
func WithCluster(cl Cluster) Option { return func(c *config) { c.cluster = append(c.cluster, cl) } }

// WithLogger sets where the broker logs; nothing is logged without it.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// WithSysInterval sets how often the $SYS tree, in which the broker tells of itself, is published to its subscribers. Default 10 s; a negative interval
// turns the tree off. See the package's documentation.
func WithSysInterval(d time.Duration) Option { return func(c *config) { c.sysInterval = d } }

// WithLimits sets limits; fields left at zero keep their default.
func WithLimits(l Limits) Option { return func(c *config) { c.limits = l } }

// WithCapabilities turns features of the protocol off.
func WithCapabilities(cp Capabilities) Option { return func(c *config) { c.caps = cp } }

// WithResponseInformation sets what a v5 client is told that asks for Response Information in its CONNECT: by custom, the
// beginning of the topics on which it may await responses. fn is called on the connection's own goroutine; "" says nothing. A
// ConnectInterceptor can change the answer.
func WithResponseInformation(fn func(ClientInfo) string) Option {
	return func(c *config) { c.responseInformation = fn }
}

// WithDeliveryPerSubscription delivers a message to a client once for each of its subscriptions that match, each time with that one's QoS and
// Subscription Identifier. By default a message is delivered once, with the highest QoS and all identifiers. The specification allows
// both (section 3.3.4). A message that is on its way to a node that is lost may be delivered fewer times, but not less than once.
func WithDeliveryPerSubscription() Option { return func(c *config) { c.perSubscription = true } }

// QueuePolicy says what becomes of a message of QoS 1 or 2 that finds the queue of a client full.
type QueuePolicy uint8

// What a full queue does.
const (
	// QueueWait holds back the publishers, on whichever node they are, as long as the client gets on: the queue takes more, up to as
	// much again, and they are answered only when it is likely to have room for what they sent, at most 2 s later. They
	// become as fast as the client is, since they may have only so many messages without an answer. A message for a client
	// that has acknowledged nothing for 2 s, that has been too slow for 2 s, or that is not connected, is
	// dropped, with the reason queue_full: nobody waits for it.
	QueueWait QueuePolicy = iota
	// QueueDropNewest drops the message.
	QueueDropNewest
	// QueueDropOldest drops the oldest ones that wait.
	QueueDropOldest
)

// Limits bound what one client may take. A zero field means its default.
type Limits struct {
	// ReceiveMaximum is how many QoS 1 and 2 messages a client may send without an answer. Default 1,024. A client of
	// MQTT 3, which is not told, is not read from while it has more outstanding.
	ReceiveMaximum uint16
	// MaximumPacketSize is the largest packet accepted, in bytes. Default 64 MiB. In a cluster it is no more than the cluster carries in one piece, which is
	// 58 MiB for package cluster's.
	MaximumPacketSize uint32
	// TopicAliasMaximum is how many aliases a v5 client may use towards the broker. Default 1,024.
	TopicAliasMaximum uint16
	// OutboundTopicAliases is how many aliases the broker uses towards a v5 client that allows any. Default 64.
	OutboundTopicAliases uint16
	// InFlight is how many QoS 1 and 2 messages the broker sends to a client before it waits for acknowledgements; a v5
	// client's Receive Maximum lowers it. Default 1,024.
	InFlight uint16
	// InFlightBytes is how many bytes such messages may have before the next one waits; one may be on its way whatever its size. Default: no bound besides
	// InFlight.
	InFlightBytes int
	// SessionExpiryMaximum bounds the Session Expiry Interval a client asks for, in seconds. Default: no bound. It is also how long sessions
	// of MQTT 3 clients that connected with Clean Session 0 are kept.
	SessionExpiryMaximum uint32
	// QueuedMessages and QueuedBytes bound what waits for one client, in flight included. Default 100,000 messages
	// and 64 MiB, or MaximumPacketSize if that is more. WhenFull says what becomes of a message that finds the
	// queue full. A queue that is empty takes any message that MaximumPacketSize lets in.
	QueuedMessages int
	QueuedBytes    int
	WhenFull       QueuePolicy
	// OutboxBytes is how many bytes may wait for a connection to take them before QoS 1 and 2 messages stay in the queue. Default 256 KiB.
	// Messages of QoS 0 are dropped beyond QoS0Bytes. Default 4 MiB.
	OutboxBytes int
	QoS0Bytes   int
	// ConnectTimeout is how long a new connection may take until its CONNECT has arrived and was answered. Default 10 s.
	ConnectTimeout time.Duration
	// WriteTimeout is how long a connection may take nothing of what is written to it. Default 30 s.
	WriteTimeout time.Duration
	// KeepAliveMaximum bounds the clients' Keep Alive, in seconds; a v5 client is told by Server Keep Alive. Default: no bound.
	KeepAliveMaximum uint16
	// Subscriptions is how many subscriptions one session may have. Default 100,000.
	Subscriptions int
	// TopicLevels and TopicLength are how many levels a TopicName or TopicFilter may have, and how many bytes. Default: as many as fit, and 65,535. A PUBLISH with a
	// longer one is refused with Topic Name invalid (0x90), of QoS 0 or MQTT 3 dropped, with the reason over_limit; a subscription
	// with Topic Filter invalid (0x8F), a CONNECT whose will has one with Topic Name invalid.
	TopicLevels int
	TopicLength int
	// UserProperties is how many User Properties a CONNECT, a PUBLISH, a SUBSCRIBE or a will may have. Default 1,000. One that has more is refused with
	// Quota exceeded (0x97).
	UserProperties int
}

// besidesMessage is how many bytes a command may have besides the message that makes it large: others that travel with it, and what is said about each.
const besidesMessage = 2 << 20

// limitTo lowers MaximumPacketSize to what a cluster carries in one command.
func (l *Limits) limitTo(c Cluster) {
	if limiter, ok := c.(CommandLimiter); ok {
		l.MaximumPacketSize = min(l.MaximumPacketSize, uint32(max(limiter.MaxCommand()-besidesMessage, besidesMessage)))
	}
}

func (l *Limits) setDefaults() {
	set(&l.ReceiveMaximum, 1024)
	set(&l.MaximumPacketSize, 64<<20)
	set(&l.TopicAliasMaximum, 1024)
	set(&l.OutboundTopicAliases, 64)
	set(&l.InFlight, 1024)
	set(&l.SessionExpiryMaximum, neverExpires)
	set(&l.QueuedMessages, 100_000)
	set(&l.QueuedBytes, max(64<<20, int(l.MaximumPacketSize)))
	set(&l.OutboxBytes, 256<<10)
	set(&l.QoS0Bytes, 4<<20)
	set(&l.ConnectTimeout, 10*time.Second)
	set(&l.WriteTimeout, 30*time.Second)
	set(&l.Subscriptions, 100_000)
	set(&l.TopicLevels, math.MaxUint16+1)
	set(&l.TopicLength, math.MaxUint16)
	set(&l.UserProperties, 1000)
}

// neverExpires is the Session Expiry Interval that means never.
const neverExpires = 0xFFFFFFFF

func set[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}

func (l *Limits) validate() error {
	var errs []error
	negative := func(name string, v int64) {
		if v < 0 {
			errs = append(errs, fmt.Errorf("shoal: WithLimits: %s is %d; it must not be negative, 0 means the default", name, v))
		}
	}
	negative("QueuedMessages", int64(l.QueuedMessages))
	negative("QueuedBytes", int64(l.QueuedBytes))
	negative("InFlightBytes", int64(l.InFlightBytes))
	negative("OutboxBytes", int64(l.OutboxBytes))
	negative("QoS0Bytes", int64(l.QoS0Bytes))
	negative("ConnectTimeout", int64(l.ConnectTimeout))
	negative("WriteTimeout", int64(l.WriteTimeout))
	negative("Subscriptions", int64(l.Subscriptions))
	negative("TopicLevels", int64(l.TopicLevels))
	negative("TopicLength", int64(l.TopicLength))
	negative("UserProperties", int64(l.UserProperties))
	// Only what was set is held against each other: a default gives way.
	atLeast := func(name string, v int64, other string, least int64) {
		if v > 0 && least > 0 && v < least {
			errs = append(errs, fmt.Errorf("shoal: WithLimits: %s is %d, less than %s, which is %d and so can never be reached; raise the first or lower the second", name, v, other, least))
		}
	}
	atLeast("QueuedBytes", int64(l.QueuedBytes), "MaximumPacketSize", int64(l.MaximumPacketSize))
	atLeast("QueuedMessages", int64(l.QueuedMessages), "InFlight", int64(l.InFlight))
	atLeast("QoS0Bytes", int64(l.QoS0Bytes), "OutboxBytes", int64(l.OutboxBytes))
	return errors.Join(errs...)
}

// Capabilities turns features of the protocol off; the zero value offers everything. Clients of v5 are told in CONNACK.
type Capabilities struct {
	MaximumQoS                packets.Optional[packets.QoS]
	NoRetain                  bool
	NoWildcardSubscriptions   bool
	NoSubscriptionIdentifiers bool
	NoSharedSubscriptions     bool
	NoTopicAliases            bool // both ways, whatever Limits say
	// MinimumVersion is the oldest protocol version that is let in: packets.V31 (the default), V311 or V5. An older client is answered
	// Unacceptable protocol version.
	MinimumVersion packets.Version
}

// limit turns off what Limits would allow.
func (c *Capabilities) limit(l *Limits) {
	if c.NoTopicAliases {
		l.TopicAliasMaximum, l.OutboundTopicAliases = 0, 0
	}
}

func (c *Capabilities) maximumQoS() packets.QoS { return c.MaximumQoS.Or(2) }

func (c *Capabilities) validate() error {
	if q, ok := c.MaximumQoS.Get(); ok && q > 2 {
		return fmt.Errorf("shoal: WithCapabilities: MaximumQoS is %d; it must be 0, 1 or 2", q)
	}
	switch c.MinimumVersion {
	case 0, packets.V31, packets.V311, packets.V5:
	default:
		return fmt.Errorf("shoal: WithCapabilities: MinimumVersion is %d; it must be packets.V31, V311 or V5", c.MinimumVersion)
	}
	return nil
}

// checkCommonStorage reports what is wrong with the Storage of a node of a cluster.
func checkCommonStorage(s Storage) error {
	if !isShared(s) {
		return fmt.Errorf("shoal: WithStorage: a %T belongs to one node, and the nodes of a cluster keep sessions in the log that they replicate; "+
			"give that a directory (cluster.Config.Dir) in place of WithStorage, or share a store among all nodes, such as storage/redis", s)
	}
	if _, ok := s.(FencedStorage); !ok {
		return fmt.Errorf("shoal: WithStorage: the nodes of a cluster can share a %T only if it is a FencedStorage, such as storage/redis; "+
			"or keep sessions in the log that the nodes replicate (cluster.Config.Dir), without WithStorage", s)
	}
	return nil
}

// validate checks everything that can be checked without I/O and joins what is wrong.
func (c *config) validate() (endpoints []listen.Endpoint, err error) {
	var errs []error
	switch len(c.auth) {
	case 0:
		errs = append(errs, errors.New("shoal: nobody could connect: give WithAuthenticator, or WithAnonymous to let everyone in"))
	case 1:
		if c.auth[0] == nil {
			errs = append(errs, errors.New("shoal: WithAuthenticator: nil"))
		}
	default:
		errs = append(errs, fmt.Errorf("shoal: %d authenticators given; exactly one is possible: combine them, and do not add WithAnonymous", len(c.auth)))
	}
	if len(c.cluster) > 1 {
		errs = append(errs, errors.New("shoal: WithCluster given more than once"))
	}
	for _, cl := range c.cluster {
		if cl == nil {
			errs = append(errs, errors.New("shoal: WithCluster: nil"))
		} else if _, err := cl.Self(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(c.cluster) > 0 && c.storage != nil {
		errs = append(errs, checkCommonStorage(c.storage))
	}
	for _, u := range c.listen {
		e, err := listen.Parse(u)
		if err == nil && e.TLS && c.tls == nil {
			err = errors.New("it needs WithTLSConfig")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("shoal: WithListen %q: %w", u, err))
			continue
		}
		e.Options = c.webSocketOptions()
		endpoints = append(endpoints, e)
	}
	if err := listen.CheckOrigins(c.origins); err != nil {
		errs = append(errs, fmt.Errorf("shoal: WithWebSocketOrigins: %w", err))
	}
	for _, l := range c.listeners {
		if l == nil {
			errs = append(errs, errors.New("shoal: WithListener: nil"))
		}
	}
	errs = append(errs, c.limits.validate(), c.validateTotals(), c.customs.validate(), c.caps.validate(), validateStrategies(c.strategies))
	names := c.listenerNames()
	errs = append(errs, c.flapping.validate(), c.connLimits.validate(names), c.rateLimits.validate(names))
	var cl Cluster
	if len(c.cluster) > 0 {
		cl = c.cluster[0]
	}
	errs = append(errs, c.durabilities.validate(names, cl))
	return endpoints, errors.Join(errs...)
}

// listenerNames are the names that listeners have in Credentials, ClientInfo and limits.
func (c *config) listenerNames() []string {
	names := append([]string{}, c.listen...)
	for _, l := range c.listeners {
		if l != nil {
			names = append(names, l.Addr().String())
		}
	}
	return append(names, inProcess, webSocketHandler)
}
