package raftlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// preamble begins every connection of raft's: a name and a version. The identity of the dialler's cluster follows, and who it is: two bytes of
// length, and then name and address of links, each behind its length.
const preamble = "SHOALRAFT2"

// keyCluster is where the stable store keeps the identity of the cluster.
const keyCluster = "shoal-cluster"

var (
	errPreamble     = errors.New("raftlog: this is not another node's raft")
	errNamesake     = errors.New("raftlog: another node has the name")
	errApart        = errors.New("raftlog: this node's disk does not take raft's log")
	errOtherCluster = errors.New("raftlog: the node belongs to another cluster; a node that is to change clusters needs an empty Dir")
)

// identity is which cluster this node is part of: a random number that the first node drew. Two clusters that find each
// other, because both were begun, would otherwise overwrite each other's logs.
type identity struct {
	stable raft.StableStore
	// begun is called when the node meets the cluster it has promised to begin.
	begun func()

	mu       sync.Mutex
	id       uint64
	promised uint64
}

// promise notes the identity that a new cluster is going to have.
func (i *identity) promise(id uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.promised = id
}

// load reads the identity of a node that has a log.
func (i *identity) load() error {
	id, err := i.stable.GetUint64([]byte(keyCluster))
	if err != nil {
		return fmt.Errorf("reading the identity of the cluster: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.id = id
	return nil
}

// get returns the identity, or 0 for a node that has not met its cluster.
func (i *identity) get() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.id
}

// meet checks the identity of a node that calls, and takes it over if this node has none.
func (i *identity) meet(id uint64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case id == 0:
		return errPreamble
	case i.id == 0:
		if err := i.stable.SetUint64([]byte(keyCluster), id); err != nil {
			return fmt.Errorf("keeping the identity of the cluster: %w", err)
		}
		i.id = id
		if id == i.promised {
			i.begun()
		}
	case i.id != id:
		return errOtherCluster
	}
	return nil
}

// accepted is a connection whose preamble is read and checked first of all. Who called is checked again when the nodes have changed.
type accepted struct {
	net.Conn
	layer *streamLayer
	// The following are of the one goroutine that reads.
	checked        bool
	name, peerAddr string // of the caller
	changes        uint64
}

func (a *accepted) Read(b []byte) (int, error) {
	if !a.checked {
		if err := a.check(); err != nil {
			return 0, errors.Join(err, a.Close())
		}
		a.checked = true
	}
	n, err := a.Conn.Read(b)
	if err == nil && a.layer.apart.Load() {
		return 0, errors.Join(errApart, a.Close())
	}
	if now := a.layer.book.changes.Load(); err == nil && now != a.changes {
		a.changes = now
		if a.layer.book.mistaken(a.name, a.peerAddr) {
			return 0, errors.Join(errNamesake, a.Close())
		}
	}
	return n, err
}

func (a *accepted) Write(b []byte) (int, error) {
	if a.layer.apart.Load() {
		return 0, errors.Join(errApart, a.Close())
	}
	return a.Conn.Write(b)
}

func (a *accepted) check() error {
	if err := a.SetReadDeadline(time.Now().Add(rpcTimeout)); err != nil {
		return err
	}
	head := make([]byte, len(preamble)+8+2)
	if _, err := io.ReadFull(a.Conn, head); err != nil {
		return err
	}
	if string(head[:len(preamble)]) != preamble {
		return errPreamble
	}
	who := make([]byte, binary.BigEndian.Uint16(head[len(preamble)+8:]))
	if _, err := io.ReadFull(a.Conn, who); err != nil {
		return err
	}
	var err error
	if a.name, who, err = nodecodec.String(who); err != nil {
		return errPreamble
	}
	if a.peerAddr, _, err = nodecodec.String(who); err != nil {
		return errPreamble
	}
	a.changes = a.layer.book.changes.Load()
	if a.layer.rivalled.Load() || a.layer.book.mistaken(a.name, a.peerAddr) {
		return errNamesake
	}
	if err := a.layer.id.meet(binary.BigEndian.Uint64(head[len(preamble):])); err != nil {
		return err
	}
	return a.SetReadDeadline(time.Time{})
}

// streamLayer is how raft's transport reaches the network. It knows the connections it dialled, so that Close need not wait
// for what hangs on them.
type streamLayer struct {
	addr   raft.ServerAddress
	self   shoal.Node
	id     *identity
	book   *addressBook
	accept func() (net.Conn, error)
	close  func() error
	dial   func(ctx context.Context, addr string) (net.Conn, error)
	ctx    context.Context // ends dialling
	cancel context.CancelFunc
	// rivalled is set while another node has this one's name: nobody is to take this one for it.
	rivalled atomic.Bool
	// apart is set while this node keeps apart from raft: nothing goes in or out.
	apart atomic.Bool

	mu    sync.Mutex
	conns map[*dialled]struct{}
}

func (s *streamLayer) Close() error   { return s.close() }
func (s *streamLayer) Addr() net.Addr { return layerAddr(s.addr) }

// Accept implements net.Listener.
func (s *streamLayer) Accept() (net.Conn, error) {
	c, err := s.accept()
	if err != nil {
		return nil, err
	}
	return &accepted{Conn: c, layer: s}, nil
}

// Dial implements raft.StreamLayer.
func (s *streamLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if s.rivalled.Load() {
		return nil, errNamesake
	}
	if s.apart.Load() {
		return nil, errApart
	}
	ctx, cancel := context.WithTimeout(s.ctx, min(timeout, dialTimeout))
	defer cancel()
	c, err := s.dial(ctx, string(addr))
	if err != nil {
		return nil, err
	}
	hello := binary.BigEndian.AppendUint64([]byte(preamble), s.id.get())
	who := nodecodec.AppendString(nodecodec.AppendString(nil, s.self.Name), s.self.Attributes[AttributePeer])
	hello = append(binary.BigEndian.AppendUint16(hello, uint16(len(who))), who...)
	if _, err := c.Write(hello); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	d := &dialled{Conn: c, layer: s, addr: string(addr)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	s.conns[d] = struct{}{}
	return d, nil
}

// hangUp closes what was dialled, and lets nothing be dialled any more.
func (s *streamLayer) hangUp() {
	s.cancel()
	s.closeThose(func(*dialled) bool { return true })
}

// Rivalled says whether another node has this one's name. While it has, this one keeps apart from raft.
func (l *Log) Rivalled(is bool) {
	l.layer.rivalled.Store(is)
	if is {
		l.layer.closeThose(func(*dialled) bool { return true })
	}
}

// keepApart lets nothing in or out, or everything again.
func (s *streamLayer) keepApart(is bool) {
	s.apart.Store(is)
	if is {
		s.closeThose(func(*dialled) bool { return true })
	}
}

// hangUpOn closes what was dialled at an address.
func (s *streamLayer) hangUpOn(addr string) {
	s.closeThose(func(d *dialled) bool { return d.addr == addr })
}

func (s *streamLayer) closeThose(which func(*dialled) bool) {
	s.mu.Lock()
	conns := make([]*dialled, 0, len(s.conns))
	for d := range s.conns {
		if which(d) {
			conns = append(conns, d)
		}
	}
	s.mu.Unlock()
	for _, d := range conns {
		_ = d.Close()
	}
}

type dialled struct {
	net.Conn
	layer *streamLayer
	addr  string
}

func (d *dialled) Close() error {
	d.layer.mu.Lock()
	delete(d.layer.conns, d)
	d.layer.mu.Unlock()
	return d.Conn.Close()
}

type layerAddr string

func (layerAddr) Network() string  { return "raft" }
func (a layerAddr) String() string { return string(a) }
