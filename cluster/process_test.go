package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
)

// Environment variables that make the test binary a node of a cluster: its name, its gossip port, and the ports of all.
const (
	envNode = "SHOAL_TEST_NODE"
	envPort = "SHOAL_TEST_PORT"
	envJoin = "SHOAL_TEST_JOIN"
)

// runAsNode is a node in a process of its own. It prints what its state machine is told, and lives until its input ends.
func runAsNode() int {
	var port int
	if _, err := fmt.Sscan(os.Getenv(envPort), &port); err != nil {
		fmt.Println(err)
		return 1
	}
	name := os.Getenv(envNode)
	c := New(Config{
		Name: name, Bootstrap: name == "c01", GossipPort: port, RaftPort: AnyPort, PeerPort: AnyPort, Join: strings.Split(os.Getenv(envJoin), ","), Logger: testLogger().With("on", name),
	})
	m := newMachine()
	self, err := c.Self()
	if err == nil {
		err = c.Start(context.Background(), self, m)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx, self, c.SetPeers) }) // what it sees of the others is printed
	wg.Go(func() { m.tell(ctx) })
	_, _ = bufio.NewReader(os.Stdin).ReadString(0)
	_ = c.Close()
	cancel()
	wg.Wait()
	return 0
}

// tell prints the machine's events, and the edges of its lease.
func (m *machine) tell(ctx context.Context) {
	events, edges := 0, 0
	for {
		m.mu.Lock()
		changed := m.changed
		for ; events < len(m.events); events++ {
			fmt.Println(m.events[events])
		}
		for ; edges < len(m.edges); edges++ {
			fmt.Println("serving", m.edges[edges].serving)
		}
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
