// Package kafka bridges a broker to Apache Kafka, both ways. Messages go to Kafka by rules (Out), come
// from it by a consumer group (In), and what clients do goes there as events (Events).
//
//	shoal.WithBridge(kafka.New(kafka.Config{
//		Brokers: []string{"kafka-1:9092", "kafka-2:9092"},
//		Out:     []kafka.Out{{Filters: []string{"sensors/#"}, Topic: "sensors", Key: "${client}"}},
//		In:      []kafka.In{{Topics: []string{"commands"}, Group: "mqtt", Topic: "commands/${key}"}},
//	}))
//
// # To Kafka
//
// What matches a rule waits in the bridge's session of the broker, which is stored and replicated as
// all sessions are, until Kafka has acknowledged it. While Kafka is away the session's queue grows, up
// to the broker's Limits.QueuedMessages and QueuedBytes; what then does not fit is dropped by the
// broker's policy, with the reason queue_full. When Kafka is back the bridge goes on by itself. Messages
// of QoS 1 and 2 cross at least once: what was on its way when a node or the bridge was lost may cross
// twice. Messages of QoS 0 cross while the bridge is at work, or are lost.
//
// In a cluster one node bridges and the others stand by, so that the order of each publisher and topic is
// kept into a partition of Kafka. With Config.Spread all nodes bridge, and order is kept per node.
//
// A record that Kafka never takes, one that is too large for example, is refused: the message is dropped,
// with the reason refused. All other errors are tried again for ever.
//
// # Headers
//
// A record of FormatRaw has the payload as its value, and headers: mqtt.topic, mqtt.qos, mqtt.retain (0 or
// 1), mqtt.client (the publisher's ClientID), mqtt.bridge (the bridge's name), and, where the message has
// them, mqtt.content-type, mqtt.response-topic, mqtt.correlation-data, mqtt.payload-format and
// mqtt.expiry (seconds). User Properties are headers of their own names; one whose name begins with
// "mqtt." has "mqtt.user." in front. A value of FormatJSON says all that in one object; see document.Message.
//
// # From Kafka
//
// All nodes of a cluster are consumers of the group, so that Kafka spreads its partitions over them.
// Offsets are committed when the broker has accepted the messages, at the durability that it has for them:
// they cross at least once, and in the order of each partition. Headers are read as they are written: those
// that begin with "mqtt." become what they say, all others User Properties. Records that this bridge
// itself has written (mqtt.bridge) are skipped.
//
// # Events
//
// Connections, subscriptions and the ends of sessions go to Kafka as comqtt's bridge sends them, to the byte,
// for consumers that read that (FormatComqtt), or with all that is known (FormatJSON; see document.Event). An event
// waits in the bridge's session, too, wherever in the cluster it happened.
package kafka
