package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// What BridgeWay chooses.
const (
	BridgeNone = iota
	BridgeToKafka
	BridgeToWebhook
)

// BridgeKafka is comqtt's bridge-kafka.yml, and what this program adds: messages to and from Kafka by rules.
type BridgeKafka struct {
	Kafka KafkaOptions `key:"kafka-options"`
	Rules KafkaRules   `key:"rules"`
	Out   []KafkaOut   `key:"out" doc:"rules for messages to Kafka, which cross at least once"`
	In    []KafkaIn    `key:"in" doc:"rules for records from Kafka"`
}

// KafkaOptions say where Kafka is, and how it is written to.
type KafkaOptions struct {
	Brokers      []string `key:"brokers" default:"localhost:9092"`
	Topic        string   `key:"topic" doc:"topic of Kafka for what clients do; none sends nothing of that"`
	Balancer     int      `key:"balancer" doc:"0 least bytes, 1 round robin, 2 hash of the key, 3 CRC32 of the key, 4 as Kafka's clients"`
	Async        bool     `key:"async" doc:"publishers do not wait until what they have done is kept"`
	RequiredAcks int      `key:"required-acks" doc:"0 none, 1 the leader, -1 all in-sync replicas"`
	Compression  int      `key:"compression" doc:"0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd"`
	WriteTimeout int      `key:"write-timeout" default:"10" doc:"seconds"`

	Format       string        `key:"format" default:"comqtt" doc:"of what clients do: comqtt or json"`
	ClientID     string        `key:"client-id" default:"shoal"`
	Linger       time.Duration `key:"linger" default:"5ms" doc:"how long a batch waits for more"`
	TLSEnable    bool          `key:"tls-enable"`
	TLSCA        string        `key:"tls-ca" is:"path" doc:"certificates of those that sign Kafka's; default: the system's"`
	TLSCert      string        `key:"tls-cert" is:"path"`
	TLSKey       string        `key:"tls-key" is:"path"`
	SASL         string        `key:"sasl-mechanism" doc:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"`
	User         string        `key:"sasl-user"`
	Password     string        `key:"sasl-password" is:"secret"`
	PasswordFile string        `key:"sasl-password-file" is:"path" doc:"file with that password"`
}

// KafkaRules say what of what clients do goes to Kafka.
type KafkaRules struct {
	Topics  []string `key:"topics" doc:"filters for published topics; none is all"`
	Filters []string `key:"filters" doc:"filters for subscriptions; none is all"`
}

// KafkaOut is a rule for messages to Kafka.
type KafkaOut struct {
	Filters []string `key:"filters" doc:"filters of topics"`
	Topic   string   `key:"topic" doc:"topic of Kafka; ${topic}, ${1} for a level, ${client}"`
	Key     string   `key:"key" doc:"the same for the key; - is none, by default ${topic}"`
	Format  string   `key:"format" doc:"raw or json; by default raw"`
}

// KafkaIn is a rule for records from Kafka.
type KafkaIn struct {
	Topics    []string `key:"topics" doc:"topics of Kafka"`
	Group     string   `key:"group" doc:"consumer group"`
	Topic     string   `key:"topic" doc:"topic to publish to; ${topic}, ${key}, ${header:NAME}"`
	QoS       int      `key:"qos" doc:"1 or 2; by default 1"`
	Retain    bool     `key:"retain"`
	FromStart bool     `key:"from-start" doc:"a new group begins with the oldest record"`
}

// Bridge reads the file of the bridge: a *BridgeKafka or a *BridgeWebhook; nil is none.
func (l *Loaded) Bridge() (any, error) {
	switch l.BridgeWay {
	case BridgeToKafka:
		return l.bridgeKafka()
	case BridgeToWebhook:
		return l.bridgeWebhook()
	}
	return nil, nil
}

func (l *Loaded) bridgeKafka() (*BridgeKafka, error) {
	f := new(BridgeKafka)
	if err := l.readOther(l.BridgePath, environment(os.Environ()), f); err != nil {
		return nil, &UsageError{err}
	}
	k := &f.Kafka
	if err := readSecret(k.PasswordFile, &k.Password); err != nil {
		return nil, &UsageError{fmt.Errorf("%s: kafka-options.sasl-password-file: %w", l.BridgePath, err)}
	}
	values := []ranged{
		{"kafka-options.balancer", k.Balancer, 0, 4},
		{"kafka-options.required-acks", k.RequiredAcks, -1, 1},
		{"kafka-options.compression", k.Compression, 0, 4},
		{"kafka-options.write-timeout", k.WriteTimeout, 0, 3600},
	}
	errs := []error{oneOfWords(l.BridgePath, "kafka-options.format", k.Format, "comqtt", "json")}
	for i := range f.Out {
		errs = append(errs, oneOfWords(l.BridgePath, fmt.Sprintf("out[%d].format", i), f.Out[i].Format, "", "raw", "json"))
	}
	for i := range f.In {
		values = append(values, ranged{fmt.Sprintf("in[%d].qos", i), f.In[i].QoS, 0, 2})
	}
	return f, errors.Join(append(errs, check(l.BridgePath, values))...)
}

// readSecret reads a secret from a file, if there is one.
func readSecret(path string, into *string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	*into = strings.TrimRight(string(text), "\r\n")
	return nil
}

func oneOfWords(path, key, value string, words ...string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	return usagef("%s: %s: %q is none of %q", path, key, value, words)
}
