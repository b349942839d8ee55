package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// Config says where Kafka is and what crosses.
type Config struct {
	// Name is the bridge's, "kafka" by default; see shoal.Bridge. Consumers of Kafka see it in the header mqtt.bridge.
	Name string
	// Brokers are some of Kafka's addresses, host:port. At least one is required.
	Brokers []string
	// ClientID is what the bridge calls itself to Kafka. Default "shoal".
	ClientID string
	// TLS, if not nil, encrypts the connections to Kafka.
	TLS *tls.Config
	// SASL, if its Mechanism is set, is how the bridge authenticates itself.
	SASL SASL

	// Acks says when Kafka has a record. Default AcksAll.
	Acks Acks
	// NotIdempotent has Kafka not recognise a record that is sent again. Acks other than AcksAll need it.
	NotIdempotent bool
	Compression   Compression
	Partitioner   Partitioner
	// Linger is how long a batch waits for more records. Default 5 ms; a negative value is none.
	Linger time.Duration
	// Timeout is how long one request may take before it is tried again. Default 10 s.
	Timeout time.Duration
	// CreateTopics has Kafka create topics that are written to and do not exist, if Kafka allows that.
	CreateTopics bool

	// Out are the rules for messages to Kafka. A message crosses once for each that matches.
	Out []Out
	// QoS is that of the bridge's subscriptions: the most that messages keep. Default 1.
	QoS packets.QoS
	// Buffer and BufferBytes bound how many messages are on their way to Kafka. Default 1,024, which
	// the broker's Limits.InFlight may lower, and 16 MiB.
	Buffer, BufferBytes int
	// Spread has all nodes of a cluster write to Kafka at the same time.
	Spread bool

	// Events are sent if their Topic is set.
	Events Events

	// In are the rules for records from Kafka.
	In []In
}

// SASL is how the bridge authenticates itself to Kafka.
type SASL struct {
	// Mechanism is "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512" or "OAUTHBEARER".
	Mechanism string
	User      string
	Password  string
	// Token returns a token for OAUTHBEARER. It is asked for each connection.
	Token func(ctx context.Context) (string, error)
}

// Acks says who in Kafka must have a record before it is acknowledged.
type Acks byte

// The replicas that must have a record.
const (
	AcksAll    Acks = iota // all that are in sync
	AcksLeader             // the leader: what it loses before others have it is lost
	AcksNone               // nobody: what Kafka does not get is lost
)

// Compression is that of batches.
type Compression byte

// The ways to compress.
const (
	CompressionNone Compression = iota
	CompressionGzip
	CompressionSnappy
	CompressionLZ4
	CompressionZstd
)

// Partitioner chooses the partition of a record.
type Partitioner byte

// The partitioners. Records without a key are spread by all of them.
const (
	// PartitionMurmur2 hashes the key as Kafka's own clients do.
	PartitionMurmur2 Partitioner = iota
	// PartitionFNV1a hashes the key as Sarama and kafka-go's Hash do.
	PartitionFNV1a
	// PartitionCRC32 hashes the key as librdkafka does.
	PartitionCRC32
	// PartitionRoundRobin takes each partition in turn, whatever the key: there is no order but by chance.
	PartitionRoundRobin
	// PartitionLeastBackup takes the partition with the fewest records waiting, whatever the key.
	PartitionLeastBackup
)

// Format is that of a record's value.
type Format byte

// The formats.
const (
	FormatRaw    Format = iota // the payload, and all else in headers
	FormatJSON                 // a document.Message or a document.Event
	FormatComqtt               // for Events only: as comqtt's bridge sends them
)

// Out is a rule for messages to Kafka.
type Out struct {
	// Filters are the TopicFilters that match.
	Filters []string
	// Topic is Kafka's, or a template of it: ${topic} is the TopicName with dots for slashes, ${1} its first
	// level, ${client} the publisher's ClientID. What Kafka does not allow in a topic becomes "_".
	Topic string
	// Key is a template of the record's key, ${topic} with its slashes. Default "${topic}"; NoKey for none.
	Key    string
	Format Format // FormatRaw or FormatJSON
	// NoHeaders leaves the headers out.
	NoHeaders bool
}

// NoKey is an Out.Key that gives records no key.
const NoKey = "-"

// In is a rule for records from Kafka.
type In struct {
	// Topics are Kafka's.
	Topics []string
	// Group is the consumer group. It is required, and each rule has its own.
	Group string
	// Topic is a template of the TopicName: ${topic} is Kafka's topic, ${key} the record's key, ${header:NAME} a
	// header. Default "${header:mqtt.topic}". A record whose TopicName is not valid is dropped and counted.
	Topic string
	// QoS and Retain are those of the messages. QoS is 1 by default; QoS0 asks for 0.
	QoS    packets.QoS
	QoS0   bool
	Retain bool
	// FromStart has a group that is new begin with the oldest record. By default it begins with those that
	// come after it.
	FromStart bool
	// Batch is how many records are published before their offsets are committed. Default 500.
	Batch int
}

// Events says which events go to Kafka.
type Events struct {
	// Topic is Kafka's, for all events.
	Topic  string
	Format Format // FormatJSON, which is the default, or FormatComqtt
	// Publish sends each PUBLISH of a client as an event, as comqtt does; Topics are those that it concerns,
	// all if there are none. An Out rule is the better way: its messages cross with the guarantees of a
	// session. PublishWaits has the publisher wait until its event is kept.
	Publish      bool
	PublishWaits bool
	Topics       []string
	// Filters are those whose subscriptions and unsubscriptions are sent, all if there are none. A
	// subscription is concerned whose filter one of Filters covers.
	Filters []string
}

func (c *Config) setDefaults() {
	if c.Name == "" {
		c.Name = "kafka"
	}
	if c.ClientID == "" {
		c.ClientID = "shoal"
	}
	if c.QoS == 0 {
		c.QoS = 1
	}
	if c.Linger == 0 {
		c.Linger = 5 * time.Millisecond
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Events.Format == FormatRaw {
		c.Events.Format = FormatJSON
	}
	for i := range c.Out {
		if c.Out[i].Key == "" {
			c.Out[i].Key = "${topic}"
		}
	}
	for i := range c.In {
		in := &c.In[i]
		if in.Topic == "" {
			in.Topic = "${header:mqtt.topic}"
		}
		if in.QoS == 0 && !in.QoS0 {
			in.QoS = 1
		}
		if in.Batch == 0 {
			in.Batch = 500
		}
	}
}

// validate reports everything that is wrong.
func (c *Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("kafka: "+format, args...)) }
	if len(c.Brokers) == 0 {
		wrong("Brokers is empty; name at least one, host:port")
	}
	switch c.SASL.Mechanism {
	case "":
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if c.SASL.User == "" {
			wrong("SASL.User is empty; %s needs it", c.SASL.Mechanism)
		}
	case "OAUTHBEARER":
		if c.SASL.Token == nil {
			wrong("SASL.Token is nil; OAUTHBEARER needs it")
		}
	default:
		wrong("SASL.Mechanism is %q; use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER", c.SASL.Mechanism)
	}
	if c.Acks > AcksNone || c.Compression > CompressionZstd || c.Partitioner > PartitionLeastBackup {
		wrong("Acks %d, Compression %d and Partitioner %d must be among the constants of the package", c.Acks, c.Compression, c.Partitioner)
	}
	if c.Acks != AcksAll && !c.NotIdempotent {
		wrong("Acks is not AcksAll, which idempotent writing needs; set NotIdempotent, too")
	}
	if c.QoS > 2 || c.Buffer < 0 || c.BufferBytes < 0 || c.Timeout < 0 {
		wrong("QoS %d must be 1 or 2, and Buffer %d, BufferBytes %d and Timeout %v must not be negative", c.QoS, c.Buffer, c.BufferBytes, c.Timeout)
	}
	if len(c.Out) == 0 && len(c.In) == 0 && c.Events.Topic == "" {
		wrong("nothing crosses: give Out, In or Events")
	}
	for i := range c.Out {
		errs = append(errs, c.Out[i].validate(i))
	}
	groups := make(map[string]bool)
	for i := range c.In {
		errs = append(errs, c.In[i].validate(i, groups))
	}
	errs = append(errs, c.Events.validate())
	return errors.Join(errs...)
}

func (o *Out) validate(i int) error {
	if len(o.Filters) == 0 || o.Topic == "" {
		return fmt.Errorf("kafka: Out[%d]: Filters and Topic are required", i)
	}
	if o.Format > FormatJSON {
		return fmt.Errorf("kafka: Out[%d]: Format %d must be FormatRaw or FormatJSON; FormatComqtt is for Events", i, o.Format)
	}
	if err := validFilters(o.Filters); err != nil {
		return fmt.Errorf("kafka: Out[%d]: Filters: %w", i, err)
	}
	for field, text := range map[string]string{"Topic": o.Topic, "Key": o.Key} {
		if _, err := parseTemplate(text, outNames); err != nil {
			return fmt.Errorf("kafka: Out[%d]: %s %q: %w", i, field, text, err)
		}
	}
	return nil
}

func (in *In) validate(i int, groups map[string]bool) error {
	if len(in.Topics) == 0 || in.Group == "" {
		return fmt.Errorf("kafka: In[%d]: Topics and Group are required", i)
	}
	if groups[in.Group] {
		return fmt.Errorf("kafka: In[%d]: Group %q has another rule already; give each rule its own", i, in.Group)
	}
	groups[in.Group] = true
	if in.QoS > 2 || in.Batch < 0 {
		return fmt.Errorf("kafka: In[%d]: QoS %d must be 0, 1 or 2, and Batch %d must not be negative", i, in.QoS, in.Batch)
	}
	if _, err := parseTemplate(in.Topic, inNames); err != nil {
		return fmt.Errorf("kafka: In[%d]: Topic %q: %w", i, in.Topic, err)
	}
	return nil
}

func (e *Events) validate() error {
	if e.Format > FormatComqtt {
		return fmt.Errorf("kafka: Events.Format %d must be FormatJSON or FormatComqtt", e.Format)
	}
	if err := validFilters(e.Topics); err != nil {
		return fmt.Errorf("kafka: Events.Topics: %w", err)
	}
	if err := validFilters(e.Filters); err != nil {
		return fmt.Errorf("kafka: Events.Filters: %w", err)
	}
	return nil
}

func validFilters(filters []string) error {
	for _, f := range filters {
		if err := topics.ValidateFilter(f); err != nil {
			return fmt.Errorf("%q: %w", f, err)
		}
	}
	return nil
}
