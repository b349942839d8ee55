package config

// DeadKey is a key that is accepted and has no effect.
type DeadKey struct{ Key, Where, Reason string }

// deadKeys are keys of comqtt's files, of this release and of older ones, that have nothing to do here, with the reason. A file may have them;
// they are named once at start.
var deadKeys = map[string]string{
	"mqtt.options.client-write-buffer-size":                                "buffers are taken when there is something to write",
	"mqtt.options.client-read-buffer-size":                                 "buffers are taken when there is something to read",
	"mqtt.options.inline-client":                                           "the client in the process is always there",
	"mqtt.options.fan-pool-size":                                           "there are no worker pools on the way of a message",
	"mqtt.options.fan-pool-queue-size":                                     "there are no worker pools on the way of a message",
	"mqtt.options.capabilities.maximum-message-expiry-interval":            "messages expire when their publisher says so",
	"mqtt.options.capabilities.maximum-client-writes-pending":              "what waits for a client is bounded by limits.queued-messages and limits.queued-bytes",
	"mqtt.options.capabilities.server-keep-alive":                          "see limits.keep-alive-maximum",
	"mqtt.options.capabilities.compatibilities.obscure-not-authorized":     "reason codes are true",
	"mqtt.options.capabilities.compatibilities.passive-client-disconnect":  "connections are closed behind a DISCONNECT",
	"mqtt.options.capabilities.compatibilities.always-return-response":     "properties are sent to those who ask for them",
	"mqtt.options.capabilities.compatibilities.restore-sys-info-restart":   "counters begin at the start of the process",
	"mqtt.options.capabilities.compatibilities.noinheritedpropertiesonack": "acknowledgements have no properties of the message",
	"cluster.discovery-way":                                                "nodes find each other by gossip, in one way",
	"cluster.queue-depth":                                                  "queues between nodes are bounded by themselves",
	"cluster.raft-impl":                                                    "there is one implementation of raft",
	"cluster.inbound-pool-size":                                            "there are no worker pools on the way of a message",
	"cluster.outbound-pool-size":                                           "there are no worker pools on the way of a message",
	"cluster.inout-pool-nonblocking":                                       "there are no worker pools on the way of a message",
	"cluster.nodes-file-dir":                                               "the replicated log knows the nodes",
	"cluster.http-port":                                                    "nodes ask each other through their gRPC port",
	"cluster.tags":                                                         "nodes tell each other what they need to know",
	"log.caller":                                                           "lines have no source position",
	"log.localtime":                                                        "rotated files are named by local time",
	"log.sampler":                                                          "repeated lines are summed up where they come about",
	"log.thirdparty-file":                                                  "all goes to one log",
}

// deadFlags are flags that are accepted and do nothing.
var deadFlags = map[string]string{"nodes-file-dir": deadKeys["cluster.nodes-file-dir"]}

// movedKeys are keys that were somewhere else in older files.
var movedKeys = map[string]string{"auth-way": "auth.way", "auth-datasource": "auth.datasource", "auth-path": "auth.conf-path"}
