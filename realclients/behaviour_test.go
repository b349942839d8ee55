package realclients

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each kind of client receives, on one node, what each kind publishes on another, in order, at each QoS.
func TestPublishAcrossNodes(t *testing.T) {
	topic := unique("t")
	listeners := make(map[string]*listener)
	for name, k := range kinds {
		t.Run("listen/"+name, func(sub *testing.T) {
			k.require(sub)
			listeners[name] = k.listen(t, nodes[0], listening{clientID: unique("sub"), filters: []string{topic + "/#"}, qos: 2})
		})
	}
	forEachKind(t, func(t *testing.T, k kind) {
		for qos := range byte(3) {
			name := topic + "/" + unique("p")
			k.publish(t, nodes[1+qos%2], message{topic: name, qos: qos}, "one", "two", "three")
			for listener, l := range listeners {
				for _, payload := range []string{"one", "two", "three"} {
					require.Equal(t, message{topic: name, payload: payload, qos: qos}, l.receive(t), listener)
				}
			}
		}
	})
}

func TestRetainedAcrossNodes(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		topic := unique("retained")
		subscribe := func(node int) *listener {
			return k.listen(t, nodes[node], listening{clientID: unique("sub"), filters: []string{topic + "/+"}, qos: 1})
		}
		k.publish(t, nodes[2], message{topic: topic + "/a", qos: 1, retain: true}, "old")
		k.publish(t, nodes[1], message{topic: topic + "/a", qos: 1, retain: true}, "new")
		for node := range nodes {
			require.Equal(t, message{topic: topic + "/a", payload: "new", qos: 1, retain: true}, subscribe(node).receive(t))
		}
		k.publish(t, nodes[0], message{topic: topic + "/a", qos: 1, retain: true}, "")
		for node := range nodes {
			l := subscribe(node)
			k.publish(t, nodes[0], message{topic: topic + "/marker", qos: 1}, "nothing came before this")
			require.Equal(t, topic+"/marker", l.receive(t).topic)
		}
	})
}

func TestWillAcrossNodes(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		topic := unique("will")
		watcher := k.listen(t, nodes[0], listening{clientID: unique("watcher"), filters: []string{topic + "/#"}, qos: 2})
		mortal := func(name string) *listener {
			return k.listen(t, nodes[1], listening{
				clientID: unique("mortal"), filters: []string{"none"}, will: &message{topic: topic + "/" + name, payload: "gone", qos: 1},
			})
		}
		leaver := mortal("left")
		leaver.leave()
		if leaver.leavesWithWill {
			require.Equal(t, message{topic: topic + "/left", payload: "gone", qos: 1}, watcher.receive(t))
		}
		mortal("cut").cut()
		require.Equal(t, message{topic: topic + "/cut", payload: "gone", qos: 1}, watcher.receive(t))
		k.publish(t, nodes[1], message{topic: topic + "/marker", qos: 1}, "nothing came before this")
		require.Equal(t, topic+"/marker", watcher.receive(t).topic)
	})
}

func TestSessionResumesOnAnotherNode(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		topic := unique("resume")
		how := listening{clientID: unique("sub"), filters: []string{topic}, qos: 2, keep: true}
		const each = 20
		for node := range nodes {
			l := k.listen(t, nodes[node], how)
			if l.sessionPresent != nil {
				require.Equal(t, node > 0, *l.sessionPresent)
			}
			for i := range each * min(node, 1) * 2 {
				want := message{topic: topic, payload: phased(node-1, i), qos: byte(1 + i/each)}
				m := l.receive(t)
				for m != want && strings.HasPrefix(m.payload, phased(node-2, -1)) {
					m = l.receive(t) // a client that left before it had acknowledged gets it again
				}
				require.Equal(t, want, m)
			}
			l.leave()
			for qos := range 2 {
				var payloads []string
				for i := range each {
					payloads = append(payloads, phased(node, qos*each+i))
				}
				k.publish(t, nodes[(node+2)%3], message{topic: topic, qos: byte(1 + qos)}, payloads...)
			}
		}
		how.keep = false // ends the session
		k.listen(t, nodes[0], how).leave()
	})
}

// phased returns the payload of message i of a phase, or, for a negative i, what all of that phase begin with.
func phased(phase, i int) string {
	if i < 0 {
		return strconv.Itoa(phase) + "/"
	}
	return strconv.Itoa(phase) + "/" + strconv.Itoa(i)
}

func TestSharedSubscriptionAcrossNodes(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		topic := unique("shared")
		var members []*listener
		for _, at := range nodes {
			members = append(members, k.listen(t, at, listening{
				clientID: unique("member"), filters: []string{"$share/group/" + topic, topic + "/marker"}, qos: 1,
			}))
		}
		const each = 20
		for _, at := range nodes {
			var payloads []string
			for range each {
				payloads = append(payloads, unique("m"))
			}
			k.publish(t, at, message{topic: topic, qos: 1}, payloads...)
		}
		// One publisher's messages have an order; the marker, on another connection, comes after all that was acknowledged.
		k.publish(t, nodes[0], message{topic: topic + "/marker", qos: 1}, "end")
		seen := make(map[string]int)
		for _, l := range members {
			for m := l.receive(t); m.topic == topic; m = l.receive(t) {
				seen[m.payload]++
			}
		}
		require.Len(t, seen, each*len(nodes))
		for payload, times := range seen {
			require.Equal(t, 1, times, payload)
		}
	})
}
