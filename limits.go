package shoal

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/shoalmq/shoal/internal/memory"
	"github.com/shoalmq/shoal/internal/quota"
	"github.com/shoalmq/shoal/packets"
)

// WithMemoryLimit has the broker take on no more when the process has used up about nine tenths of so many bytes: it refuses CONNECT (Server busy,
// 0x89), new subscriptions and messages (Quota exceeded, 0x97) rather than be ended by the kernel. A publisher is first read no further for
// up to 2 s, since what is on its way may leave meanwhile; then its message of QoS 0 is dropped, with the reason memory, and in MQTT 3, where QoS 1 and 2 cannot be
// refused, its connection ends. Default: no limit; ContainerMemoryLimit tells what there is. The broker does not set the runtime's own limit, which is the
// program's to choose: debug.SetMemoryLimit, or GOMEMLIMIT, a little below this one keeps garbage from taking the place of load.
func WithMemoryLimit(bytes int64) Option { return func(c *config) { c.memoryLimit = bytes } }

// ContainerMemoryLimit returns how many bytes the control groups (version 1 or 2) that the process is in let it have, and the file that says so; 0 if none does.
func ContainerMemoryLimit() (bytes int64, file string) { return memory.ContainerLimit(os.DirFS("/")) }

const (
	// memoryPatience is how long a publisher waits for memory before what it sends is refused.
	memoryPatience = 2 * time.Second
	memoryPause    = 20 * time.Millisecond

	reasonNoMemory = "the server has no memory for more; publish again later"
)

var (
	errNoMemory          = &Error{ReasonCode: packets.ServerBusy, Reason: "the server has no memory for more; connect again later"}
	errNoMemoryForMore   = &Error{ReasonCode: packets.QuotaExceeded, Reason: reasonNoMemory}
	errTooManyProperties = &Error{ReasonCode: packets.QuotaExceeded, Reason: "the packet has more User Properties than the server allows"}
	errTopicTooLong      = &Error{ReasonCode: packets.TopicNameInvalid, Reason: "the topic has more levels, or bytes, than the server allows"}
	errFilterTooLong     = &Error{ReasonCode: packets.TopicFilterInvalid, Reason: "the topic filter has more levels, or bytes, than the server allows"}
	errRetainedFull      = &Error{ReasonCode: packets.QuotaExceeded, Reason: reasonRetainedFull}
)

// topicTooLong reports whether a TopicName or TopicFilter is more than Limits allow.
func (b *Broker) topicTooLong(topic string) bool {
	l := &b.limits
	if len(topic) <= l.TopicLength && (len(topic) < l.TopicLevels || strings.Count(topic, "/") < l.TopicLevels) {
		return false
	}
	b.metrics.tooLong.Add(1)
	return true
}

func (b *Broker) tooManyProperties(p *packets.Properties) bool {
	if len(p.UserProperties) <= b.limits.UserProperties {
		return false
	}
	b.metrics.tooManyProperties.Add(1)
	return true
}

// withinLimits holds a PUBLISH of a client to what it may have, and to what the broker has room for.
func (c *conn) withinLimits(sc *scratch, p *packets.Publish) packets.ReasonCode {
	b := c.b
	refuse := func(e *Error, why DropReason) packets.ReasonCode {
		sc.reason = e.Reason
		return c.dropPublish(p, why, e.ReasonCode)
	}
	switch {
	case b.topicTooLong(p.TopicName):
		return refuse(errTopicTooLong, DropOverLimit)
	case b.tooManyProperties(&p.Properties):
		return refuse(errTooManyProperties, DropOverLimit)
	case b.memory.Over():
		sc.flush()
		if !b.awaitMemory(c.context()) {
			return refuse(errNoMemoryForMore, DropMemory)
		}
	}
	if !b.mayRetain(p, c.clientID) {
		return refuse(errRetainedFull, DropBrokerFull)
	}
	return packets.Success
}

// awaitMemory reports whether there is memory for more, after a while if need be.
func (b *Broker) awaitMemory(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, memoryPatience)
	defer cancel()
	tick := time.NewTicker(memoryPause)
	defer tick.Stop()
	for b.memory.Over() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.metrics.noMemory.Add(1)
			return false
		}
	}
	return true
}

// mayPublish holds a message of the program's to the same as those of clients.
func (b *Broker) mayPublish(ctx context.Context, m *Message, publisher string) error {
	refuse := func(e *Error, why DropReason) error {
		b.drop(DroppedEvent{ClientID: publisher, TopicName: m.TopicName, QoS: m.QoS, Reason: why})
		return e
	}
	p := packets.Publish{TopicName: m.TopicName, Payload: m.Payload, Retain: m.Retain}
	switch {
	case b.topicTooLong(m.TopicName):
		return refuse(errTopicTooLong, DropOverLimit)
	case b.tooManyProperties(&m.Properties):
		return refuse(errTooManyProperties, DropOverLimit)
	case b.memory.Over() && !b.awaitMemory(ctx):
		return refuse(errNoMemoryForMore, DropMemory)
	case !b.mayRetain(&p, publisher):
		return refuse(errRetainedFull, DropBrokerFull)
	}
	return nil
}

// mayTakeOn reports what is wrong with a subscription that is more than Limits allow, or than there is memory for.
func (c *conn) mayTakeOn(p *packets.Subscription, user []packets.UserProperty) error {
	switch {
	case c.b.topicTooLong(p.TopicFilter):
		return errFilterTooLong
	case c.b.tooManyProperties(&packets.Properties{UserProperties: user}):
		return errTooManyProperties
	case c.b.memory.Over():
		c.b.metrics.noMemory.Add(1)
		return errNoMemoryForMore
	}
	return nil
}

// mayMakeSession reports whether there is room for the session of a client that has none, or has it on another node, from which it comes in any case.
func (b *Broker) mayMakeSession(id string, m maker) bool {
	if b.cluster != nil && b.cluster.state.hasHome(id) {
		return true
	}
	a := b.totals.Open(b.tenantOf(m))
	defer b.totals.Close(a)
	if a.Room(quota.Sessions, 1) {
		return true
	}
	a.Refuse(quota.Sessions)
	return false
}

// refusedByLimits is Metrics.Refused.
func (b *Broker) refusedByLimits() map[string]uint64 {
	m := map[string]uint64{
		"memory": b.metrics.noMemory.Load(), "topic": b.metrics.tooLong.Load(), "user_properties": b.metrics.tooManyProperties.Load(),
	}
	for k := range quota.Kind(quota.Kinds) {
		m[k.String()] = b.totals.Whole.Refused(k)
	}
	return m
}
