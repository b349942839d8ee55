package program

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/config"
	"github.com/shoalmq/shoal/packets"
)

// Options are those of the broker that come from the configuration: all but where it stores, and its cluster.
func (a *App) Options() ([]shoal.Option, error) {
	l := a.Loaded
	durability, err := parseDurability(l.Durability)
	if err != nil {
		return nil, err
	}
	caps := l.MQTT.Options.Capabilities
	opts := []shoal.Option{
		a.auth.option(),
		shoal.WithLogger(a.Log),
		shoal.WithDurability(shoal.Durabilities{Broker: durability}),
		shoal.WithLimits(limits(l)),
		shoal.WithCapabilities(capabilities(&caps)),
		shoal.WithTotalLimits(total(&l.Limits.Total)),
		shoal.WithMemoryLimit(memoryLimit(l)),
		shoal.WithAssignedClientIDPrefix(l.Customs.AutoIDPrefix),
		shoal.WithWebSocketOrigins(l.MQTT.WSOrigins...),
		shoal.WithSysInterval(sysInterval(l.MQTT.Options.SysTopicResendInterval)),
		shoal.WithConnectionLimits(shoal.ConnectionLimits{
			Broker: shoal.ConnectionLimit{Open: l.Limits.Connections}, Address: shoal.ConnectionLimit{Open: l.Limits.ConnectionsPerIP},
		}),
	}
	opts = append(opts, customs(&l.Customs)...)
	if separator := l.Limits.TenantSeparator; separator != "" {
		opts = append(opts, shoal.WithTenantLimits(tenantBefore(separator), total(&l.Limits.PerTenant)))
	}
	if a.bridge != nil {
		opts = append(opts, shoal.WithBridge(a.bridge))
	}
	if n := l.Limits.PublishesPerClient; n > 0 {
		opts = append(opts, shoal.WithRateLimits(shoal.RateLimits{Client: shoal.RateLimit{MessagesPerSecond: n}}))
	}
	return append(opts, a.listeners.options(a.inherited)...), nil
}

// Bind opens the listeners that the broker does not make itself. They are closed by the broker, or by Unbind if there is none.
func (a *App) Bind(ctx context.Context) error {
	err := a.listeners.bind(ctx, a.Loaded, a.Log)
	if err != nil {
		a.listeners.close()
	}
	return err
}

// Unbind closes what Bind has opened.
func (a *App) Unbind() { a.listeners.close() }

// TCPAddress is where MQTT clients connect, "" if that is not one address.
func (a *App) TCPAddress() string { return a.listeners.tcp }

func parseDurability(name string) (shoal.Durability, error) {
	if name == "" {
		return shoal.DurabilityDefault, nil
	}
	d, err := shoal.ParseDurability(name)
	if err != nil {
		return d, Usagef("-durability: %v", err)
	}
	return d, nil
}

func sysInterval(seconds int) time.Duration {
	if seconds == 0 {
		seconds = 1 // as comqtt reads it
	}
	return time.Duration(seconds) * time.Second
}

var whenFull = map[string]shoal.QueuePolicy{"drop-newest": shoal.QueueDropNewest, "drop-oldest": shoal.QueueDropOldest}

func limits(l *config.Loaded) shoal.Limits {
	c, m := &l.MQTT.Options.Capabilities, &l.Limits
	return shoal.Limits{
		ReceiveMaximum: c.ReceiveMaximum, MaximumPacketSize: c.MaximumPacketSize, TopicAliasMaximum: c.TopicAliasMaximum,
		SessionExpiryMaximum: c.MaximumSessionExpiryInterval,
		InFlight:             m.InFlight, InFlightBytes: m.InFlightBytes, TopicLevels: m.TopicLevels, TopicLength: m.TopicLength, UserProperties: m.UserProperties,
		QueuedMessages: m.QueuedMessages, QueuedBytes: m.QueuedBytes, WhenFull: whenFull[m.WhenFull],
		ConnectTimeout: m.ConnectTimeout, WriteTimeout: m.WriteTimeout, KeepAliveMaximum: m.KeepAliveMaximum, Subscriptions: m.Subscriptions,
	}
}

func capabilities(c *config.Capabilities) shoal.Capabilities {
	return shoal.Capabilities{
		MaximumQoS: packets.Some(packets.QoS(c.MaximumQoS)), //nolint:gosec // 0 to 2
		NoRetain:   !c.RetainAvailable, NoWildcardSubscriptions: !c.WildcardSubAvailable, NoSubscriptionIdentifiers: !c.SubIDAvailable,
		NoSharedSubscriptions: !c.SharedSubAvailable, NoTopicAliases: c.TopicAliasMaximum == 0,
		MinimumVersion: packets.Version(c.MinimumProtocolVersion), //nolint:gosec // 3 to 5
	}
}

func total(t *config.Total) shoal.TotalLimits {
	return shoal.TotalLimits{
		Sessions: t.Sessions, Subscriptions: t.Subscriptions, QueuedBytes: int64(t.QueuedBytes),
		RetainedMessages: t.RetainedMessages, RetainedBytes: int64(t.RetainedBytes),
	}
}

// tenantBefore names the tenant of a user by what its name has before a separator.
func tenantBefore(separator string) func(user string) string {
	return func(user string) string {
		tenant, _, found := strings.Cut(user, separator)
		if !found {
			return ""
		}
		return tenant
	}
}

// memoryLimit is what the configuration says, or the limit of the Go runtime, which is nine tenths of the container's unless GOMEMLIMIT says otherwise.
func memoryLimit(l *config.Loaded) int64 {
	if l.Limits.Memory != config.MemoryAuto {
		return l.MemoryBytes()
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return 0
}

func customs(c *config.Customs) (opts []shoal.Option) {
	if c.UpgradeOutgoingQoS {
		opts = append(opts, shoal.WithQoSOfSubscription())
	}
	if c.NoWillOnTakeover {
		opts = append(opts, shoal.WithoutWillOnTakeover())
	}
	if c.CheckRetainSource {
		opts = append(opts, shoal.WithRetainedRights())
	}
	return opts
}

var errNoAddress = errors.New("no address that other nodes could reach was found")
