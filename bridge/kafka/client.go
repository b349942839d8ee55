package kafka

import (
	"context"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// connection returns the options that all of the bridge's clients have.
func (c *Config) connection(log *slog.Logger) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID(c.ClientID), kgo.WithLogger(logger{log}),
		kgo.DialTimeout(c.Timeout), kgo.RequestTimeoutOverhead(c.Timeout),
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	if m := c.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts
}

func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()
	case "OAUTHBEARER":
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.Token(ctx)
			return oauth.Auth{Token: token}, err
		})
	}
	return nil
}

// producing returns the options of the client that writes.
func (c *Config) producing(buffer int) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.RecordPartitioner(c.Partitioner.partitioner()),
		kgo.ProducerBatchCompression(c.Compression.codec()),
		kgo.ProducerLinger(max(0, c.Linger)),
		kgo.ProduceRequestTimeout(c.Timeout),
		kgo.MaxBufferedRecords(buffer),
		// What fails is tried again for as long as it may yet succeed: the session keeps the messages.
		kgo.UnknownTopicRetries(-1),
	}
	switch c.Acks {
	case AcksAll:
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case AcksLeader:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	case AcksNone:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()))
	}
	if c.NotIdempotent {
		// One request at a time, or what is tried again would come behind what was not.
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	if c.CreateTopics {
		opts = append(opts, kgo.AllowAutoTopicCreation())
	}
	return opts
}

func (c Compression) codec() kgo.CompressionCodec {
	switch c {
	case CompressionGzip:
		return kgo.GzipCompression()
	case CompressionSnappy:
		return kgo.SnappyCompression()
	case CompressionLZ4:
		return kgo.Lz4Compression()
	case CompressionZstd:
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func (p Partitioner) partitioner() kgo.Partitioner {
	switch p {
	case PartitionFNV1a:
		return kgo.StickyKeyPartitioner(fnv1a)
	case PartitionCRC32:
		return kgo.StickyKeyPartitioner(func(key []byte, n int) int { return int(crc32.ChecksumIEEE(key) % uint32(n)) })
	case PartitionRoundRobin:
		return kgo.RoundRobinPartitioner()
	case PartitionLeastBackup:
		return kgo.LeastBackupPartitioner()
	}
	return kgo.StickyKeyPartitioner(nil)
}

// fnv1a chooses as Sarama does: by the hash as a signed number, its sign dropped last.
func fnv1a(key []byte, n int) int {
	h := fnv.New32a()
	_, _ = h.Write(key) // never fails
	partition := int32(h.Sum32()) % int32(n)
	if partition < 0 {
		partition = -partition
	}
	return int(partition)
}

// logger brings the library's log lines into slog. Kafka that is away is told by the bridge itself, in
// words of its own, so that the library's lines are for those who look for more.
type logger struct{ log *slog.Logger }

func (l logger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelNone
}

func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	l.log.Debug("kafka client", "says", msg, "level", level.String(), "details", fmt.Sprint(keyvals...))
}
