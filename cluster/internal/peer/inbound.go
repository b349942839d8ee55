package peer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/peer/peerpb"
)

// keptRefusals is how many refusals are told again, in case the acknowledgement that told them was lost.
const keptRefusals = 256

// longestHeld is the longest that one node has another hold publishers back, in milliseconds.
const longestHeld = 60_000

// inbound is the receiving end of one node's link. It outlives streams, and NodeDown: a node that was given up wrongly
// goes on with the same sequence.
type inbound struct {
	turn chan struct{} // capacity 1: whose stream hands over batches

	mu    sync.Mutex
	kick  chan struct{} // closed to end the stream that has the turn
	epoch *epoch
}

// epoch is one sequence of batches: which were received, and which of them are done with.
type epoch struct {
	boot, link uint64
	wake       chan struct{} // capacity 1: there is something to acknowledge

	mu       sync.Mutex
	next     uint64 // the sequence number to receive next
	accepted uint64 // this one and all before it are done with
	done     []bool // done[i] is about accepted+1+i
	refused  []*peerpb.Refusal
	held     []*peerpb.Held
}

func (m *Mesh) inboundOf(node string) *inbound {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.inbound[node]
	if in == nil {
		in = &inbound{turn: make(chan struct{}, 1)}
		m.inbound[node] = in
	}
	return in
}

// Link implements the service: it receives one stream of a node.
func (v service) Link(s grpc.BidiStreamingServer[peerpb.Frame, peerpb.Ack]) error {
	m := v.Mesh
	f, err := s.Recv()
	if err != nil {
		return err
	}
	h := f.Hello
	agreed := uint32(m.cfg.Levels.Newest)
	if h != nil {
		agreed = min(agreed, h.Version)
	}
	switch {
	case h == nil || h.From == "":
		return status.Error(codes.InvalidArgument, "the first frame must be a hello")
	case !m.cfg.Levels.Speaks(int(agreed)):
		return status.Errorf(codes.FailedPrecondition, "this node speaks levels %s of the link protocol, not %d", m.cfg.Levels, h.Version)
	case h.To != m.cfg.Self:
		return status.Errorf(codes.FailedPrecondition, "this is node %q, not %q", m.cfg.Self, h.To)
	}
	in := m.inboundOf(h.From)
	kicked := in.kickOut()
	select {
	case in.turn <- struct{}{}:
	case <-kicked:
		return status.Error(codes.Aborted, "replaced by a newer stream")
	case <-s.Context().Done():
		return s.Context().Err()
	case <-m.ctx.Done():
		return m.ctx.Err()
	}
	e, received, err := in.enter(h)
	if err != nil {
		<-in.turn
		return err
	}
	if err := s.Send(&peerpb.Ack{Version: agreed, Received: received}); err != nil {
		<-in.turn
		return err
	}
	// The receiving goroutine keeps the turn until it has returned from Receive, also when this handler goes first.
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	ended := make(chan error, 1)
	acks := make(chan struct{})
	m.wg.Go(func() { defer close(acks); e.sendAcks(ctx, s) })
	m.wg.Go(func() {
		err := m.receive(s, h.From, e)
		cancel()
		<-acks
		<-in.turn
		ended <- err
	})
	select {
	case err = <-ended:
	case <-kicked:
		err = status.Error(codes.Aborted, "replaced by a newer stream")
	case <-m.ctx.Done():
		err = status.Error(codes.Unavailable, "the node is shutting down")
	}
	return err
}

// kickOut ends the stream that has the turn, and returns what will end the next.
func (in *inbound) kickOut() <-chan struct{} {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.kick != nil {
		close(in.kick)
	}
	in.kick = make(chan struct{})
	return in.kick
}

// enter finds or begins the sequence that a Hello names, and tells the last number that is here.
func (in *inbound) enter(h *peerpb.Hello) (*epoch, uint64, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	e := in.epoch
	if e != nil && e.boot == h.Boot && h.Link < e.link {
		return nil, 0, status.Error(codes.Aborted, "a later link has begun")
	}
	if h.First == 0 {
		return nil, 0, status.Error(codes.InvalidArgument, "sequence numbers begin at 1")
	}
	if e == nil || e.boot != h.Boot || e.link != h.Link {
		e = &epoch{boot: h.Boot, link: h.Link, wake: make(chan struct{}, 1), next: h.First, accepted: h.First - 1}
		in.epoch = e
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.poke()
	return e, e.next - 1, nil
}

// receive hands over batches until the stream ends.
func (m *Mesh) receive(s grpc.BidiStreamingServer[peerpb.Frame, peerpb.Ack], node string, e *epoch) error {
	for {
		f, err := s.Recv()
		if err != nil {
			return err
		}
		for i, b := range f.Batches {
			seq := f.First + uint64(i)
			ok, err := e.begin(seq)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			m.cfg.Handler.Receive(node, b, func(err error) { e.finish(seq, err) })
			f.Batches[i] = nil
		}
	}
}

// begin notes that a batch was received. ok is false for one that was here before.
func (e *epoch) begin(seq uint64) (ok bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case seq < e.next:
		return false, nil
	case seq > e.next:
		return false, status.Errorf(codes.DataLoss, "batch %d came where %d was expected", seq, e.next)
	}
	e.next++
	e.done = append(e.done, false)
	return true, nil
}

// finish notes that a batch is done with. A second call for the same batch is ignored.
func (e *epoch) finish(seq uint64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if seq <= e.accepted || e.done[seq-e.accepted-1] {
		return
	}
	e.done[seq-e.accepted-1] = true
	var held *shoal.HeldBack
	switch {
	case err == nil:
	case errors.As(err, &held):
		e.held = append(e.held, &peerpb.Held{Sequence: seq, Milliseconds: uint32(min(max(1, held.For.Milliseconds()), longestHeld))}) //nolint:gosec // it fits
	default:
		e.refused = append(e.refused, &peerpb.Refusal{Sequence: seq, Reason: err.Error()})
	}
	n := 0
	for n < len(e.done) && e.done[n] {
		n++
	}
	if n > 0 {
		e.accepted += uint64(n)
		if e.done = e.done[n:]; len(e.done) == 0 {
			e.done = nil
		}
		e.poke()
	}
}

func (e *epoch) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// sendAcks tells the sender how far batches are done with. What it tells twice, on a new stream, does no harm.
func (e *epoch) sendAcks(ctx context.Context, s grpc.BidiStreamingServer[peerpb.Frame, peerpb.Ack]) {
	for {
		select {
		case <-e.wake:
		case <-ctx.Done():
			return
		}
		e.mu.Lock()
		ack := &peerpb.Ack{Accepted: e.accepted}
		if n := len(e.refused) - keptRefusals; n > 0 {
			e.refused = append([]*peerpb.Refusal(nil), e.refused[n:]...)
		}
		e.held = slices.DeleteFunc(e.held, func(h *peerpb.Held) bool {
			now := h.Sequence <= e.accepted
			if now {
				ack.Held = append(ack.Held, h) // once: if it is lost, the publishers are answered at once
			}
			return now
		})
		for _, r := range e.refused {
			if r.Sequence <= e.accepted {
				ack.Refused = append(ack.Refused, r)
			}
		}
		e.mu.Unlock()
		if s.Send(ack) != nil {
			e.poke() // for the next stream
			return
		}
	}
}
