package shoal

import (
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/packets"
)

// Wills of lost nodes. Every claim carries the client's will, so that when its node is lost another one, the adopter, can publish it
// after its delay, once; unless the client connects anywhere before (guarantee 5).

// encodeWill returns a will as a claim carries it, nil for none.
func encodeWill(w *will, expiry uint32) []byte {
	if w == nil {
		return nil
	}
	delay := w.delay
	if limit := time.Duration(expiry) * time.Second; expiry != neverExpires && limit < delay {
		delay = limit // the will is due when the session ends
	}
	b := codec.AppendUint(newRecord(), uint64(delay/time.Second))
	flags := byte(w.message.QoS)
	if w.message.Retain {
		flags |= flagRetain
	}
	b = append(b, flags)
	b = codec.AppendString(b, w.message.TopicName)
	b = codec.AppendBytes(b, w.message.Payload)
	v, ok := w.message.Properties.MessageExpiryInterval.Get()
	b = codec.AppendUint(codec.AppendBool(b, ok), uint64(v))
	b = appendProperties(b, &w.message.Properties)
	name := ""
	if w.client.Principal != nil {
		name = w.client.Principal.Name
	}
	return codec.AppendString(b, name)
}

func decodeWill(record []byte) (m Message, delay time.Duration, principal string, err error) {
	r, err := openRecord(record)
	if err != nil {
		return Message{}, 0, "", err
	}
	delay = time.Duration(r.Uint32()) * time.Second
	flags := r.Byte()
	m = Message{TopicName: r.String(), QoS: packets.QoS(flags & 3), Retain: flags&flagRetain != 0}
	m.Payload = append([]byte(nil), r.Bytes()...)
	expires, interval := r.Bool(), r.Uint32()
	m.Properties = *readProperties(r)
	if expires {
		m.Properties.MessageExpiryInterval = packets.Some(interval)
	}
	if r.More() { // earlier versions did not write it
		principal = r.String()
	}
	return m, delay, principal, r.Err()
}

// willDelay returns the delay of a will as a claim carries it.
func willDelay(record []byte) (seconds uint32) {
	r, err := openRecord(record)
	if err != nil {
		return 0
	}
	return r.Uint32()
}

// willKey is one connection of a client.
type willKey struct {
	clientID string
	epoch    uint64
}

// publishOrphans sees to the wills this node has adopted.
func (n *clusterNode) publishOrphans() {
	type orphan struct {
		willKey
		will []byte
		due  bool
		away int64 // when the client went away, in Unix seconds; 0 if it was there when its node was lost
	}
	var orphans []orphan
	n.state.mu.RLock()
	for id, o := range n.state.owners {
		if o.adopter == n.self.Name && o.will != nil {
			var away int64
			if k := n.state.kept[id]; k != nil {
				away = k.away
			}
			orphans = append(orphans, orphan{willKey{id, o.epoch}, o.will, false, away})
		}
		for _, d := range o.due {
			if d.adopted && d.node == n.self.Name {
				orphans = append(orphans, orphan{willKey{id, d.epoch}, d.will, true, 0})
			}
		}
	}
	n.state.mu.RUnlock()
	for _, o := range orphans {
		m, delay, principal, err := decodeWill(o.will)
		if err != nil {
			n.b.log.Error("the will of a lost node's client cannot be read", "client_id", o.clientID, "error", err)
			n.willDone(o.clientID, o.epoch)
			continue
		}
		m.Publisher = o.clientID
		if o.away != 0 { // the delay began then [MQTT-3.1.3-9]
			delay = max(0, delay-max(0, n.b.now().Sub(time.Unix(o.away, 0))))
		}
		w := &will{b: n.b, client: ClientInfo{ClientID: o.clientID, Principal: &Principal{Name: principal}}, message: m, delay: delay, epoch: o.epoch, again: true}
		n.mu.Lock()
		if n.wills[o.willKey] != nil {
			n.mu.Unlock()
			continue
		}
		n.wills[o.willKey] = w
		n.mu.Unlock()
		if !n.state.sees(n.self.Name, o.clientID, o.epoch) {
			// The client came back before the will was among those that its return makes void.
			n.forgetWill(o.willKey)
			continue
		}
		w.connectionEnded(o.due)
	}
}

// publishLater publishes a will once this node serves, if that is still this node's to do.
func (n *clusterNode) publishLater(w *will) {
	n.wg.Go(func() {
		if n.awaitServing(n.life) == nil {
			w.publishNow()
		}
	})
}

// The pause before a will is published again grows from willPause to willPauseMost.
const (
	willPause     = time.Second
	willPauseMost = time.Minute
)

// publishAgain publishes a will once more that not everybody has taken who was to have it: nobody but this node does it while that is there. No client
// waits for an answer and sends it again, as it would a message of its own.
func (n *clusterNode) publishAgain(w *will) {
	if n.leaving.Load() || n.life.Err() != nil {
		return // its heir does it
	}
	w.mu.Lock()
	w.again = true
	w.pause = min(max(2*w.pause, willPause), willPauseMost)
	pause := w.pause
	w.mu.Unlock()
	n.wg.Go(func() {
		select {
		case <-time.After(pause):
		case <-n.life.Done():
			return
		}
		if n.awaitServing(n.life) == nil {
			w.publishNow()
		}
	})
}

// forgetWill ends this node's part in an adopted will.
func (n *clusterNode) forgetWill(k willKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wills, k)
}

// leavesToOthers reports whether another node publishes a will. Should this node adopt it again, it
// begins anew.
func (n *clusterNode) leavesToOthers(w *will) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state.sees(n.self.Name, w.client.ClientID, w.epoch) {
		return false
	}
	if k := (willKey{w.client.ClientID, w.epoch}); n.wills[k] == w {
		delete(n.wills, k)
	}
	return true
}

// reclaimed is the return of a client whose will this node was to publish after a delay. It is called on Apply's goroutine.
func (n *clusterNode) reclaimed(id string, epoch uint64) {
	k := willKey{id, epoch}
	n.mu.Lock()
	w := n.wills[k]
	delete(n.wills, k)
	n.mu.Unlock()
	if w != nil {
		w.cancel() // [MQTT-3.1.3-9]
	}
}
