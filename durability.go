package shoal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/shoalmq/shoal/topics"
)

// Durability says where a message for sessions that outlive their connection, and what such a session changes, must be before it is
// acknowledged (guarantee 2). Every durability keeps it in the same places in the end; they differ in what is waited for, and so in what it
// takes to lose something that was acknowledged.
type Durability uint8

const (
	// DurabilityDefault is what the next more general setting says; in the end DurabilityQuorum.
	DurabilityDefault Durability = iota
	// DurabilityMemory waits for nothing but the memory of the node that has the session. The loss of that node, or a restart, may lose what was
	// acknowledged in the last moments before.
	DurabilityMemory
	// DurabilityQuorum waits, in a cluster, until a majority of the nodes has it where a killed process leaves it. It takes the loss of that
	// majority, or a power failure of all of it within the same 50 ms, to lose anything. A broker without a cluster waits until its Storage
	// has it.
	DurabilityQuorum
	// DurabilityFsync waits, in a cluster, until a majority of the nodes has it on its disk; their logs must have one. A broker without a cluster
	// waits until its Storage has it, as for DurabilityQuorum; storage/bolt, for example, always waits for the disk.
	DurabilityFsync
)

// String returns the name of a durability.
func (d Durability) String() string {
	switch d {
	case DurabilityDefault:
		return "default"
	case DurabilityMemory:
		return "memory"
	case DurabilityQuorum:
		return "quorum"
	case DurabilityFsync:
		return "fsync"
	}
	return fmt.Sprintf("Durability(%d)", uint8(d))
}

// ParseDurability returns the durability of a name: "memory", "quorum", "fsync", or "default" or nothing for DurabilityDefault.
func ParseDurability(name string) (Durability, error) {
	if name == "" {
		return DurabilityDefault, nil
	}
	for d := DurabilityDefault; d <= DurabilityFsync; d++ {
		if d.String() == name {
			return d, nil
		}
	}
	return 0, fmt.Errorf("shoal: durability %q is unknown; use memory, quorum or fsync", name)
}

// Durabilities say which durability holds for what. For a message, the most special setting holds that is not DurabilityDefault: that of the
// message itself (Message.Durability), of its TopicName, of the listener its publisher is connected to, of the broker. For what a
// session changes without a message, such as a subscription, it is the listener's, or the broker's.
//
// The publisher's node decides: nodes of a cluster should have the same settings, but need not.
type Durabilities struct {
	Broker Durability
	// Listeners are by URL as given to WithListen, or by the address of what was given to WithListener.
	Listeners map[string]Durability
	// Topics are by the first levels of the TopicName: "telemetry/raw" is for "telemetry/raw" itself and for everything below
	// "telemetry/raw/". The longest that fits holds.
	Topics map[string]Durability
}

// WithDurability chooses where messages must be before they are acknowledged.
func WithDurability(d Durabilities) Option { return func(c *config) { c.durabilities = d } }

// all calls fn with every setting and the words for it.
func (d *Durabilities) all(fn func(where string, d Durability)) {
	fn("Broker", d.Broker)
	for name, v := range d.Listeners {
		fn("Listeners["+name+"]", v)
	}
	for topic, v := range d.Topics {
		fn("Topics["+topic+"]", v)
	}
}

// validate checks the settings against the names of the listeners, and the cluster, nil for none.
func (d *Durabilities) validate(listeners []string, cl Cluster) error {
	var errs []error
	d.all(func(where string, v Durability) {
		switch {
		case v > DurabilityFsync:
			errs = append(errs, fmt.Errorf("shoal: WithDurability: %s is %v, which there is not; use one of the constants", where, v))
		case v == DurabilityFsync && cl != nil && !cl.Stable():
			errs = append(errs, fmt.Errorf("shoal: WithDurability: %s is fsync, and this node's log is in memory: give the cluster a directory (cluster.Config.Dir)", where))
		}
	})
	for name := range d.Listeners {
		errs = append(errs, knownListener("WithDurability", name, listeners))
	}
	for topic := range d.Topics {
		if err := topics.ValidateName(topic); err != nil || strings.HasSuffix(topic, "/") {
			errs = append(errs, fmt.Errorf("shoal: WithDurability: Topics has %q; name whole levels without wildcards, such as \"telemetry/raw\"", topic))
		}
	}
	return errors.Join(errs...)
}

// of returns the durability of what comes by a listener, "" for none.
func (d *Durabilities) of(listener string) Durability {
	return firstOf(d.Listeners[listener], d.Broker, DurabilityQuorum)
}

// ofMessage returns the durability of a message that comes by a listener for which otherwise general holds.
func (d *Durabilities) ofMessage(topicName string, general Durability) Durability {
	if len(d.Topics) == 0 {
		return general
	}
	for name := topicName; ; {
		if v := d.Topics[name]; v != DurabilityDefault {
			return v
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return general
		}
		name = name[:i]
	}
}

func firstOf(list ...Durability) Durability {
	for _, d := range list {
		if d != DurabilityDefault {
			return d
		}
	}
	return DurabilityDefault
}
