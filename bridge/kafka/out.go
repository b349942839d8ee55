package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/topics"
)

// rule is an Out, ready for use.
type rule struct {
	Out
	topic, key template
}

func newRule(o Out) rule {
	r := rule{Out: o}
	r.topic, _ = parseTemplate(o.Topic, outNames) // validate reports errors
	r.key, _ = parseTemplate(o.Key, outNames)
	return r
}

func (r *rule) matches(name string) bool {
	for _, f := range r.Filters {
		if topics.Match(f, name) {
			return true
		}
	}
	return false
}

// record makes the record of a message. It reports false if the rule has no topic for it.
func (r *rule) record(m *shoal.Message, bridge string) (*kgo.Record, bool) {
	value := func(name string) string {
		switch name {
		case "topic":
			return m.TopicName
		case "client":
			return m.Publisher
		}
		n, _ := strconv.Atoi(name) // parseTemplate has checked it
		return level(m.TopicName, n)
	}
	topic, ok := kafkaTopic(r.topic.fill(value))
	if !ok {
		return nil, false
	}
	rec := &kgo.Record{Topic: topic, Value: m.Payload}
	if r.Key != NoKey {
		rec.Key = []byte(r.key.fill(value))
	}
	if r.Format == FormatJSON {
		rec.Value = encodeMessage(m)
	}
	if !r.NoHeaders {
		rec.Headers = headersOf(m, bridge)
	}
	return rec, true
}

// filters returns what the bridge subscribes to.
func (b *Bridge) filters(h *shoal.BridgeHost) (list []string) {
	seen := make(map[string]bool)
	add := func(f string) {
		if !seen[f] {
			seen[f] = true
			list = append(list, f)
		}
	}
	for _, r := range b.outs {
		for _, f := range r.Filters {
			add(f)
		}
	}
	if b.cfg.Events.Topic != "" {
		add(h.Topic(eventTopic))
	}
	return list
}

// outgoing is what is on its way to Kafka.
type outgoing struct {
	b  *Bridge
	h  *shoal.BridgeHost
	cl *kgo.Client

	fail context.CancelCauseFunc

	mu       sync.Mutex
	out      int       // messages on their way
	progress time.Time // when one was acknowledged, or the first was sent
}

// runOut writes what the bridge's session has to Kafka.
func (b *Bridge) runOut(ctx context.Context, h *shoal.BridgeHost) error {
	sub, err := h.Subscribe(ctx, shoal.BridgeSubscription{
		Filters: b.filters(h), QoS: b.cfg.QoS, Buffer: b.cfg.Buffer, BufferBytes: b.cfg.BufferBytes,
		RetainAsPublished: true, Spread: b.cfg.Spread,
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // cannot fail
	opts := append(b.cfg.connection(h.Logger()), b.cfg.producing(1<<16)...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	o := &outgoing{b: b, h: h, cl: cl, fail: fail}
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		o.watch(ctx)
	}()
	err = o.run(ctx, sub)
	if errors.Is(err, context.Canceled) {
		o.finish() // what Kafka has had it need not have again
	}
	cl.Close()
	fail(nil)
	<-watching
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && cause != nil {
		err = cause
	}
	return err
}

// finishTime is how long a bridge that is told to end waits for Kafka's acknowledgements.
const finishTime = 3 * time.Second

func (o *outgoing) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	_ = o.cl.Flush(ctx) // what is left comes again
}

func (o *outgoing) run(ctx context.Context, sub *shoal.Subscription) error {
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		recs, refused := o.records(&m)
		if refused {
			m.Refuse()
			continue
		}
		o.send(&m, recs)
	}
}

// records returns the records of a message. refused: Kafka has no topic for it.
func (o *outgoing) records(m *shoal.Message) (recs []*kgo.Record, refused bool) {
	if m.TopicName == o.h.Topic(eventTopic) {
		return []*kgo.Record{{Topic: o.b.cfg.Events.Topic, Key: []byte(eventKey(m)), Value: m.Payload}}, false
	}
	for i := range o.b.outs {
		r := &o.b.outs[i]
		if !r.matches(m.TopicName) {
			continue
		}
		rec, ok := r.record(m, o.b.cfg.Name)
		if !ok {
			return nil, true
		}
		recs = append(recs, rec)
	}
	return recs, false
}

// send hands records to the client. The message is acknowledged when Kafka has all of them.
func (o *outgoing) send(m *shoal.Message, recs []*kgo.Record) {
	if len(recs) == 0 { // by a rule that there was before
		m.Acknowledge()
		return
	}
	o.begin()
	var left atomic.Int32
	var refused atomic.Bool
	left.Store(int32(len(recs)))
	for _, rec := range recs {
		// Not with the bridge's context: what is cancelled may have been written all the same, and what comes behind it not.
		o.cl.Produce(context.Background(), rec, func(rec *kgo.Record, err error) {
			switch {
			case err == nil:
			case isRefusal(err):
				refused.Store(true)
				o.h.Logger().Warn("kafka refuses a message", "topic", m.TopicName, "kafka_topic", rec.Topic, "error", err)
			default:
				o.fail(fmt.Errorf("kafka: write to topic %q: %w", rec.Topic, err))
				return // it comes again
			}
			if left.Add(-1) > 0 {
				return
			}
			o.end()
			if refused.Load() {
				m.Refuse()
			} else {
				m.Acknowledge()
			}
		})
	}
}

// isRefusal reports whether Kafka will never take a record.
func isRefusal(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) || errors.Is(err, kerr.InvalidRecord) ||
		errors.Is(err, kerr.InvalidTopicException)
}

// begin and end note what is on its way, so that watch can tell of a Kafka that is away.
func (o *outgoing) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.out++; o.out == 1 {
		o.progress = time.Now()
	}
}

func (o *outgoing) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out--
	o.progress = time.Now()
}

// stuck returns since when nothing was acknowledged; ok is false if nothing is on its way.
func (o *outgoing) stuck() (since time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.progress, o.out > 0
}

// Kafka counts as away when nothing was acknowledged for awayAfter. That is said once, and once that it is back.
const awayAfter = 10 * time.Second

func (o *outgoing) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		since, waits := o.stuck()
		waits = waits && time.Since(since) > awayAfter
		switch {
		case waits && !away:
			o.h.Logger().Warn("kafka acknowledges nothing; the bridge tries on, and messages wait in its session",
				"brokers", o.b.cfg.Brokers, "since", since)
		case !waits && away:
			o.h.Logger().Info("kafka acknowledges again")
		}
		away = waits
	}
}
