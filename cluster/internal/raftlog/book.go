package raftlog

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
)

// AttributeRaft is the attribute that holds the address of a node's raft, AttributePeer that of its links, which no two nodes share, and AttributeLevels
// the levels that it speaks.
const (
	AttributeRaft   = "raft"
	AttributePeer   = "peer"
	AttributeLevels = "levels"
)

// addressBook knows where the nodes' rafts are. What gossip said of a node outlives the node's absence.
type addressBook struct {
	changes atomic.Uint64 // counts them

	mu    sync.Mutex
	alive map[string]shoal.Node
	known map[string]string
}

func newAddressBook() *addressBook {
	return &addressBook{alive: make(map[string]shoal.Node), known: make(map[string]string)}
}

// setLive returns the addresses where nodes are not any more.
func (b *addressBook) setLive(nodes []shoal.Node) (left []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.alive)
	for _, n := range nodes {
		b.alive[n.Name] = n
		if addr := n.Attributes[AttributeRaft]; addr != "" {
			if old := b.known[n.Name]; old != "" && old != addr {
				left = append(left, old)
			}
			b.known[n.Name] = addr
		}
	}
	b.changes.Add(1)
	return left
}

// mistaken reports whether a node that has links at an address is not the one that has the name.
func (b *addressBook) mistaken(name, peerAddr string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	addr := b.alive[name].Attributes[AttributePeer]
	return addr != "" && peerAddr != addr
}

// attributes returns what a live node announces.
func (b *addressBook) attributes(name string) map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.alive[name].Attributes
}

// incarnation returns that of a live node, 0 for none.
func (b *addressBook) incarnation(name string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.alive[name].Incarnation
}

// others returns the names of the live nodes but one.
func (b *addressBook) others(self string) (names []string) {
	for name := range b.live() {
		if name != self {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// live returns name and address of the live nodes.
func (b *addressBook) live() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := make(map[string]string, len(b.alive))
	for name, n := range b.alive {
		m[name] = n.Attributes[AttributeRaft]
	}
	return m
}

// ServerAddr implements raft.ServerAddressProvider. Without an answer raft uses the address of its configuration.
func (b *addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if addr := b.known[string(id)]; addr != "" {
		return raft.ServerAddress(addr), nil
	}
	return "", fmt.Errorf("the address of node %s is not known from gossip", id)
}
