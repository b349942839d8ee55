package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// runIn publishes what a consumer group reads, batch by batch: the next one is taken when all of the last
// is accepted and its offsets are committed.
func (b *Bridge) runIn(ctx context.Context, h *shoal.BridgeHost, in *In) error {
	start := kgo.NewOffset().AtEnd()
	if in.FromStart {
		start = kgo.NewOffset().AtStart()
	}
	opts := append(b.cfg.connection(h.Logger()),
		kgo.ConsumerGroup(in.Group), kgo.ConsumeTopics(in.Topics...), kgo.ConsumeResetOffset(start),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
	)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("kafka: In %q: %w", in.Group, err)
	}
	defer cl.CloseAllowingRebalance()
	topic, _ := parseTemplate(in.Topic, inNames) // validate reports errors
	r := &incoming{b: b, h: h, in: in, topic: topic}
	for {
		fetches := cl.PollRecords(ctx, in.Batch)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			h.Logger().Warn("kafka: records cannot be read; the bridge tries on", "kafka_topic", topic, "partition", partition, "error", err)
		})
		records := fetches.Records()
		if err := r.publish(ctx, records); err != nil {
			return err
		}
		if len(records) > 0 {
			if err := cl.CommitRecords(ctx, records...); err != nil {
				// They may come again, as they may after any crash.
				h.Logger().Warn("kafka: offsets cannot be committed", "group", in.Group, "error", err)
			}
		}
		cl.AllowRebalance()
	}
}

// incoming publishes records of one rule.
type incoming struct {
	b     *Bridge
	h     *shoal.BridgeHost
	in    *In
	topic template
}

// retryPause is the pause before what the broker did not accept is published again.
const retryPause = 500 * time.Millisecond

// publish returns when the broker has accepted all records, in their order. From the first that it has not
// accepted on it publishes again.
func (r *incoming) publish(ctx context.Context, records []*kgo.Record) error {
	for len(records) > 0 {
		done, err := r.try(ctx, records)
		records = records[done:]
		if err == nil {
			continue
		}
		if errors.Is(err, shoal.ErrClosed) || ctx.Err() != nil {
			return err
		}
		r.h.Logger().Debug("kafka: the broker does not accept a record yet", "error", err)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// try publishes records and waits for all of them. It returns how many at the front are done with.
func (r *incoming) try(ctx context.Context, records []*kgo.Record) (done int, err error) {
	type outcome struct {
		i   int
		err error
	}
	outcomes := make(chan outcome, len(records))
	sent := 0
	first := len(records) // that was not accepted
	for i, rec := range records {
		m, ok := r.message(rec)
		if !ok {
			continue
		}
		if err = r.h.PublishAsync(ctx, m, func(err error) { outcomes <- outcome{i, err} }); err != nil {
			if permanent(err) {
				r.drop(rec, m.TopicName, err)
				err = nil
				continue
			}
			first = i
			break
		}
		sent++
	}
	for range sent {
		select {
		case o := <-outcomes:
			if o.err != nil && o.i < first {
				first, err = o.i, o.err
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return first, err
}

// permanent reports whether the broker refuses a message because of what it is.
func permanent(err error) bool {
	switch shoal.ReasonCodeOf(err, packets.Success) {
	case packets.TopicNameInvalid, packets.PacketTooLarge, packets.QoSNotSupported:
		return true
	}
	return false
}

func (r *incoming) drop(rec *kgo.Record, topicName string, why error) {
	r.h.Drop(topicName, r.in.QoS, shoal.DropRefused)
	r.h.Logger().Warn("kafka: a record cannot be published and is skipped", "kafka_topic", rec.Topic, "partition", rec.Partition,
		"offset", rec.Offset, "topic", topicName, "error", why)
}

// errOwnTopic refuses what would be the broker's own word if the broker published it.
var errOwnTopic = errors.New("topics that begin with $ are not for records from Kafka")

// message makes the message of a record. It reports false for one that is skipped.
func (r *incoming) message(rec *kgo.Record) (m shoal.Message, ok bool) {
	if headerOf(rec.Headers, headerBridge) == r.b.cfg.Name {
		return m, false // it has come from here
	}
	m = shoal.Message{Payload: rec.Value, QoS: r.in.QoS, Retain: r.in.Retain}
	m.TopicName = r.topic.fill(func(name string) string {
		switch name {
		case "topic":
			return rec.Topic
		case "key":
			return string(rec.Key)
		}
		header, _ := strings.CutPrefix(name, "header:")
		return headerOf(rec.Headers, header)
	})
	err := topics.ValidateName(m.TopicName)
	if err == nil && m.TopicName[0] == '$' {
		err = errOwnTopic
	}
	if err != nil {
		r.drop(rec, m.TopicName, err)
		return m, false
	}
	readHeaders(rec.Headers, &m.Properties)
	return m, true
}
