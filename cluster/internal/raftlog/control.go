package raftlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// controlVersion is the first byte of every request between the nodes' raftlogs.
const controlVersion = 1

// Requests, the second byte.
const (
	opPropose = iota + 1 // an entry, to the leader; the answer is empty and says that it is committed
	opNodeUp             // applied index and node, to the leader
	opLeave              // name, incarnation and, if the node leaves for good, a 1, to the leader
	opRenew              // name, incarnation, applied index, and a reading of the node's clock, to the leader; the answer is a ttl in nanoseconds, and the leader's
	opReached            // an index; the answer is empty, and comes once that has been applied
	opApplied            // name and incarnation, to the leader; the answer is the applied index it knows of
	opState              // empty; the answer says which cluster the node is part of, or that it wants to begin one, and with how many, and whether the node is about to end
	opPromise            // identity and nodes of a cluster that the caller is about to begin; the answer is empty
	opMisfit             // a level; the node does not speak that of the cluster that sees it
	opRemove             // a name, to the leader: the node is not to count any more; the answer is empty, or a byte if the node runs
	opTime               // empty; the answer is a reading of the node's clock
)

// Answers to opState.
const (
	stateFresh = iota
	stateMember
	stateBootstrap
	stateExpects
)

var (
	errRequest   = errors.New("malformed request")
	errNotLeader = errors.New("not the leader")
	errNoLeader  = errors.New("there is no leader")
	errNotReady  = errors.New("the leader is not ready yet")
)

// enqueueTimeout bounds how long the leader waits to hand an entry to raft.
const enqueueTimeout = time.Second

// Control answers a request of another node's raftlog.
func (l *Log) Control(ctx context.Context, from string, req []byte) ([]byte, error) {
	if len(req) < 2 || req[0] != controlVersion {
		return nil, errRequest
	}
	body := req[2:]
	switch req[1] {
	case opPropose:
		return nil, l.applyHere(body)
	case opNodeUp:
		return nil, l.serveNodeUp(ctx, body)
	case opLeave:
		return nil, l.serveLeave(ctx, body)
	case opRenew:
		return l.serveRenew(ctx, body)
	case opReached:
		index, _, err := nodecodec.Uvarint(body)
		if err != nil {
			return nil, errRequest
		}
		return nil, l.fsm.watch.wait(ctx, index)
	case opApplied:
		return l.serveApplied(body)
	case opState:
		return l.serveState(), nil
	case opPromise:
		return nil, l.servePromise(from, body)
	case opMisfit:
		return nil, l.serveMisfit(body)
	case opRemove:
		return l.serveRemove(body)
	case opTime:
		return l.serveTime()
	}
	return nil, fmt.Errorf("%w: kind %d from node %s", errRequest, req[1], from)
}

// toLeader sends a request to the leader, which may be this node.
func (l *Log) toLeader(ctx context.Context, timeout time.Duration, op byte, body []byte) ([]byte, error) {
	_, id := l.raft.LeaderWithID()
	req := make([]byte, 0, len(body)+2)
	req = append(append(req, controlVersion, op), body...)
	switch {
	case id == "":
		return nil, errNoLeader
	case string(id) == l.cfg.Self.Name:
		return l.Control(ctx, l.cfg.Self.Name, req)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return l.cfg.Peers.Control(ctx, string(id), req)
}

// submit hands an entry to the leader and returns once it is committed.
func (l *Log) submit(ctx context.Context, entry []byte) error {
	_, err := l.toLeader(ctx, proposeTimeout, opPropose, entry)
	return err
}

// applyHere hands an entry to raft, which must be leading, and waits until it is applied here.
func (l *Log) applyHere(entry []byte) error {
	if l.raft.State() != raft.Leader {
		return errNotLeader
	}
	return l.gate.do(func() error { return l.raft.Apply(entry, enqueueTimeout).Error() })
}

func appendIncarnation(b []byte, name string, incarnation uint64) []byte {
	return binary.AppendUvarint(nodecodec.AppendString(b, name), incarnation)
}

func readIncarnation(b []byte) (name string, incarnation uint64, rest []byte, err error) {
	if name, b, err = nodecodec.String(b); err != nil {
		return "", 0, nil, errRequest
	}
	if incarnation, b, err = nodecodec.Uvarint(b); err != nil {
		return "", 0, nil, errRequest
	}
	return name, incarnation, b, nil
}
