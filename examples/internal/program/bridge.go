package program

import (
	"fmt"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/kafka"
	"github.com/shoalmq/shoal/bridge/webhook"
	"github.com/shoalmq/shoal/internal/config"
	"github.com/shoalmq/shoal/packets"
)

// newBridge makes the bridge that the configuration names; nil is none.
func newBridge(l *config.Loaded) (shoal.Bridge, error) {
	f, err := l.Bridge()
	if err != nil {
		return nil, err
	}
	var br shoal.Bridge
	switch f := f.(type) {
	case *config.BridgeKafka:
		br, err = bridgeToKafka(l, f)
	case *config.BridgeWebhook:
		br, err = bridgeToWebhook(l, f)
	}
	if err != nil || br == nil {
		return nil, err
	}
	if v, ok := br.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, &UsageError{Err: fmt.Errorf("%s: %w", l.BridgePath, err)}
		}
	}
	return br, nil
}

// bridgeWords are what bridges are called.
var bridgeWords = map[int]string{config.BridgeToKafka: "Kafka", config.BridgeToWebhook: "a webhook"}

func bridgeToWebhook(l *config.Loaded, f *config.BridgeWebhook) (shoal.Bridge, error) {
	cfg := webhook.Config{
		URL: f.URL, Secret: f.Secret, Header: f.Header(), Filters: f.Filters, QoS: packets.QoS(f.QoS), //nolint:gosec // 1 or 2
		Events: webhook.Events{Kinds: f.Events, Filters: f.EventFilters}, Spread: f.Spread,
		Batch: f.Batch, BatchBytes: f.BatchBytes, Linger: f.Linger,
		Timeout: f.Timeout, RetryFirst: f.RetryFirst, RetryLongest: f.RetryLongest,
	}
	if f.TLSCA != "" || f.TLSCert != "" {
		var err error
		if cfg.TLS, err = clientTLS(f.TLSCert, f.TLSKey, f.TLSCA); err != nil {
			return nil, &UsageError{Err: fmt.Errorf("%s: %w", l.BridgePath, err)}
		}
	}
	return webhook.New(cfg), nil
}

func bridgeToKafka(l *config.Loaded, f *config.BridgeKafka) (_ shoal.Bridge, err error) {
	k := &f.Kafka
	cfg := kafka.Config{
		Brokers: k.Brokers, ClientID: k.ClientID, CreateTopics: true, Linger: k.Linger,
		Timeout:     time.Duration(k.WriteTimeout) * time.Second,
		Compression: kafka.Compression(k.Compression), //nolint:gosec // 0 to 4
		Partitioner: []kafka.Partitioner{
			kafka.PartitionLeastBackup, kafka.PartitionRoundRobin, kafka.PartitionFNV1a, kafka.PartitionCRC32, kafka.PartitionMurmur2,
		}[k.Balancer],
		Acks:          map[int]kafka.Acks{-1: kafka.AcksAll, 0: kafka.AcksNone, 1: kafka.AcksLeader}[k.RequiredAcks],
		NotIdempotent: k.RequiredAcks != -1,
		SASL:          kafka.SASL{Mechanism: k.SASL, User: k.User, Password: k.Password},
	}
	if k.Linger == 0 {
		cfg.Linger = -1
	}
	if k.TLSEnable {
		if cfg.TLS, err = clientTLS(k.TLSCert, k.TLSKey, k.TLSCA); err != nil {
			return nil, &UsageError{Err: fmt.Errorf("%s: kafka-options: %w", l.BridgePath, err)}
		}
	}
	if k.Topic != "" {
		cfg.Events = kafka.Events{
			Topic: k.Topic, Publish: true, PublishWaits: !k.Async, Topics: f.Rules.Topics, Filters: f.Rules.Filters,
		}
		if k.Format == "comqtt" {
			cfg.Events.Format = kafka.FormatComqtt
		}
	}
	for _, o := range f.Out {
		out := kafka.Out{Filters: o.Filters, Topic: o.Topic, Key: o.Key}
		if o.Format == "json" {
			out.Format = kafka.FormatJSON
		}
		cfg.Out = append(cfg.Out, out)
	}
	for _, i := range f.In {
		cfg.In = append(cfg.In, kafka.In{
			Topics: i.Topics, Group: i.Group, Topic: i.Topic, Retain: i.Retain, FromStart: i.FromStart, QoS: packets.QoS(i.QoS), //nolint:gosec // 0 to 2
		})
	}
	return kafka.New(cfg), nil
}
