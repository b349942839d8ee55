package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/peer/peerpb"
)

const (
	frameBytes    = 256 << 10 // a frame takes batches until it is this large
	frameBatches  = 4096
	inFlightBytes = 64 << 20 // unacknowledged on the way; one batch may always be
	helloTimeout  = 5 * time.Second
	backoffMin    = 50 * time.Millisecond
	backoffMax    = time.Second
)

// link is the sending end of the ordered stream to one node.
type link struct {
	remote *remote
	number uint64
	ctx    context.Context // ends, with the reason, when the node is lost
	wake   chan struct{}   // capacity 1

	mu       sync.Mutex
	over     bool
	items    []item // items[0] has sequence number first
	first    uint64
	sent     int // items[:sent] are on the way
	inFlight int // bytes of items[:sent]
}

type item struct {
	batch []byte
	done  func(error)
}

func newLink(ctx context.Context, r *remote, number uint64) *link {
	return &link{remote: r, number: number, ctx: ctx, wake: make(chan struct{}, 1), first: 1}
}

// push queues a batch, or returns false if the link is over.
func (l *link) push(batch []byte, done func(error)) bool {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return false
	}
	l.items = append(l.items, item{batch, done})
	l.mu.Unlock()
	l.poke()
	return true
}

func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run keeps a stream going until the node is lost, then fails what is left.
func (l *link) run() {
	pause := backoffMin
	for l.ctx.Err() == nil {
		began, err := l.stream()
		if l.ctx.Err() != nil {
			break
		}
		if began {
			pause = backoffMin
		}
		l.remote.mesh.cfg.Logger.Debug("link interrupted", "node", l.remote.name, "err", err)
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
		}
		pause = min(2*pause, backoffMax)
	}
	var fail func()
	l.mu.Lock()
	l.over = true
	rest := make([]failure, len(l.items))
	for i, it := range l.items {
		rest[i] = failure{it.done, context.Cause(l.ctx)}
	}
	l.items = nil
	// What comes from here on fails behind these.
	l.remote.failures.add(func(run func()) bool { fail = run; return true }, rest...)
	l.mu.Unlock()
	if fail != nil {
		fail()
	}
}

// stream runs one stream until it breaks. began reports whether the other node answered the Hello.
func (l *link) stream() (began bool, err error) {
	client, err := l.remote.dataClient()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	s, err := client.Link(ctx, grpc.WaitForReady(true))
	if err != nil {
		return false, err
	}
	if err := l.hello(s, cancel); err != nil {
		return false, err
	}
	acksDone := make(chan error, 1)
	go func() {
		acksDone <- l.readAcks(s)
		cancel()
	}()
	err = l.sendFrames(ctx, s)
	cancel()
	return true, errors.Join(err, <-acksDone)
}

// hello names the sequence and learns where to go on.
func (l *link) hello(s grpc.BidiStreamingClient[peerpb.Frame, peerpb.Ack], cancel context.CancelFunc) error {
	timeout := time.AfterFunc(helloTimeout, cancel)
	defer timeout.Stop()
	l.mu.Lock()
	first := l.first
	l.mu.Unlock()
	cfg := &l.remote.mesh.cfg
	err := s.Send(&peerpb.Frame{Hello: &peerpb.Hello{
		Version: uint32(cfg.Levels.Newest), From: cfg.Self, To: l.remote.name, Boot: cfg.Boot, Link: l.number, First: first,
	}})
	if err != nil {
		return fmt.Errorf("saying hello: %w", err)
	}
	ack, err := s.Recv()
	if err != nil {
		return fmt.Errorf("waiting for the answer to hello: %w", err)
	}
	if !cfg.Levels.Speaks(int(ack.Version)) {
		return fmt.Errorf("node %s speaks level %d of the link protocol, this node %s", l.remote.name, ack.Version, cfg.Levels)
	}
	return l.resume(ack.Received)
}

// resume puts the cursor behind what the receiver has.
func (l *link) resume(received uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := 0
	if received >= l.first {
		if received-l.first >= uint64(len(l.items)) {
			return fmt.Errorf("node %s has batch %d, which was never sent", l.remote.name, received)
		}
		sent = int(received-l.first) + 1
	}
	l.sent, l.inFlight = sent, 0
	for _, it := range l.items[:sent] {
		l.inFlight += len(it.batch)
	}
	l.poke()
	return nil
}

func (l *link) sendFrames(ctx context.Context, s grpc.BidiStreamingClient[peerpb.Frame, peerpb.Ack]) error {
	frame := &peerpb.Frame{}
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return nil
		}
		for l.fill(frame) {
			if err := s.Send(frame); err != nil {
				return err
			}
		}
		clear(frame.Batches)
	}
}

// fill puts the next batches into the frame, or returns false if there are none, or none may be sent now.
func (l *link) fill(f *peerpb.Frame) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.First = l.first + uint64(l.sent)
	f.Batches = f.Batches[:0]
	size := 0
	for l.sent < len(l.items) && len(f.Batches) < frameBatches {
		b := l.items[l.sent].batch
		if size > 0 && size+len(b) > frameBytes || l.sent > 0 && l.inFlight+len(b) > inFlightBytes {
			break
		}
		f.Batches = append(f.Batches, b)
		size += len(b)
		l.inFlight += len(b)
		l.sent++
	}
	return len(f.Batches) > 0
}

func (l *link) readAcks(s grpc.BidiStreamingClient[peerpb.Frame, peerpb.Ack]) error {
	for {
		ack, err := s.Recv()
		if err != nil {
			return err
		}
		var refused map[uint64]error
		for _, r := range ack.Refused {
			if refused == nil {
				refused = make(map[uint64]error)
			}
			refused[r.Sequence] = fmt.Errorf("node %s did not accept the batch: %s", l.remote.name, r.Reason)
		}
		for _, h := range ack.Held {
			if refused == nil {
				refused = make(map[uint64]error)
			}
			refused[h.Sequence] = &shoal.HeldBack{For: time.Duration(min(h.Milliseconds, longestHeld)) * time.Millisecond}
		}
		items, first, err := l.acknowledge(ack.Accepted)
		if err != nil {
			return err
		}
		for i, it := range items {
			it.done(refused[first+uint64(i)])
		}
	}
}

// acknowledge takes the batches up to a sequence number out of the queue.
func (l *link) acknowledge(accepted uint64) ([]item, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.first
	if l.over || accepted < first {
		return nil, first, nil
	}
	n := accepted - first + 1
	if n > uint64(l.sent) {
		return nil, first, fmt.Errorf("node %s acknowledged batch %d, which was never sent", l.remote.name, accepted)
	}
	items := l.items[:n:n]
	for _, it := range items {
		l.inFlight -= len(it.batch)
	}
	// The front of the array goes with the next growth of the slice; an empty queue starts anew.
	if l.items = l.items[n:]; len(l.items) == 0 {
		l.items = nil
	}
	l.first += n
	l.sent -= int(n)
	l.poke()
	return items, first, nil
}
