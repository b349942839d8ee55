// Package realclients holds tests of a cluster of three nodes, on sockets of the loopback interface, with MQTT clients that others
// have written: mosquitto_sub and mosquitto_pub, paho.golang, paho.mqtt.golang, Eclipse Paho for Python and MQTT.js.
//
// Clients that are not installed are skipped, unless the environment has SHOAL_REQUIRE_SERVERS=1: then their absence is a failure. The
// libraries of Python and Node.js are looked for in bin/python and bin/node at the root of the repository, too.
package realclients
