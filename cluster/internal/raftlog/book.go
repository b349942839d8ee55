package raftlog

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
)

// AttributeRaft is the attribute that holds the address of a node's raft.
const AttributeRaft = "raft"

// addressBook knows where the nodes' rafts are. What gossip said of a node outlives the node's absence.
type addressBook struct {
	mu    sync.Mutex
	alive map[string]string
	known map[string]string
}

func newAddressBook() *addressBook {
	return &addressBook{alive: make(map[string]string), known: make(map[string]string)}
}

func (b *addressBook) setLive(nodes []shoal.Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.alive)
	for _, n := range nodes {
		b.alive[n.Name] = n.Attributes[AttributeRaft]
		if addr := n.Attributes[AttributeRaft]; addr != "" {
			b.known[n.Name] = addr
		}
	}
}

// live returns name and address of the live nodes.
func (b *addressBook) live() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := make(map[string]string, len(b.alive))
	for name, addr := range b.alive {
		m[name] = addr
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
