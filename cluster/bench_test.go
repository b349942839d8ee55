package cluster

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

// BenchmarkPropose is three nodes in one process on loopback, commands of 100 bytes; ns/op is per command.
func BenchmarkPropose(b *testing.B) {
	for _, where := range []string{"memory", "disk"} {
		for _, outstanding := range []int{1, 64, 4096} {
			b.Run(fmt.Sprintf("%s/%d-outstanding", where, outstanding), func(b *testing.B) {
				dir := b.TempDir()
				nodes := onLoopback(b, func(c *Config) {
					if where == "disk" {
						c.Dir = filepath.Join(dir, c.Name)
					}
				})
				defer stopNodes(b, nodes)
				follower := nodes[1]
				if follower.Status().Leader == follower.name {
					follower = nodes[2]
				}
				cmd := make([]byte, 100)
				window := make(chan struct{}, outstanding)
				var wg sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					window <- struct{}{}
					wg.Add(1)
					follower.ProposeAsync(cmd, func(_ any, err error) {
						if err != nil {
							b.Error(err)
						}
						<-window
						wg.Done()
					})
				}
				wg.Wait()
				b.StopTimer()
			})
		}
	}
}

// BenchmarkForward is batches of twenty 100-byte messages over loopback; ns/op is per message.
func BenchmarkForward(b *testing.B) {
	const messages = 20
	nodes := onLoopback(b, nil)
	defer stopNodes(b, nodes)
	nodes[1].machine.locked(func() { nodes[1].machine.discard = true })
	batch := make([]byte, 100*messages)
	window := make(chan struct{}, 4096)
	var wg sync.WaitGroup
	b.SetBytes(100)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += messages {
		window <- struct{}{}
		wg.Add(1)
		nodes[0].Forward("c02", batch, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-window
			wg.Done()
		})
	}
	wg.Wait()
	b.StopTimer()
}

// BenchmarkServing is asked for every message.
func BenchmarkServing(b *testing.B) {
	nodes := onLoopback(b, nil)
	defer stopNodes(b, nodes)
	b.ResetTimer()
	for range b.N {
		if !nodes[0].Serving() {
			b.Fatal("lease lost")
		}
	}
	b.StopTimer()
}
