// Package mqtt bridges a broker to another one, both ways: to a broker of any make that speaks MQTT 5.0 or 3.1.1.
//
//	shoal.WithBridge(mqtt.New(mqtt.Config{
//		Addresses: []string{"mqtts://hub.example.com:8883"},
//		ClientID:  "site-7",
//		Out:       []mqtt.Rule{{Filter: "sensors/#", RemotePrefix: "site-7/"}},
//		In:        []mqtt.Rule{{Filter: "commands/#", RemotePrefix: "site-7/"}},
//	}))
//
// # Both ends last
//
// Messages to the other broker wait in the bridge's session here, which is stored and replicated as all sessions are, until the other broker has answered
// them. Messages from there wait in the bridge's session there, until they are accepted here. While either is away nothing is lost within the
// limits of these two sessions, and the order of each publisher and topic is kept. While both brokers and the bridge's node go on, QoS 2
// is exactly once over any loss of the connection; when the node with the bridge is lost, messages that were on their way may cross twice.
// Messages of QoS 0 cross while there is a connection.
//
// In a cluster one node connects to the other broker, and another one does so when it is lost.
//
// # Loops
//
// What the bridge has published here it is not given back, and what it has published there it does not get back by MQTT 5.0 (No Local). Over more than two
// brokers, each bridge notes in a User Property, shoal-hop, where a message has been (Config.Via), drops what has been here before, and what has
// come over MaxHops bridges. MQTT 3.1.1 has neither: rules whose topics overlap over there are refused.
//
// # Retained messages
//
// The RETAIN flag is kept both ways (Retain As Published). By MQTT 3.1.1 a broker tells it for what was retained before the bridge subscribed only.
package mqtt
