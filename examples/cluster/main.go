// Command cluster is Shoal as a clustered broker.
//
//	go run ./examples/cluster
//
// runs three nodes in one process that act as one broker (demo.go). With flags, or a file, it is one node of a cluster of processes
// (node.go). Files of comqtt are understood; -h lists the flags. It lets everyone in, unless it is told otherwise.
package main

import (
	"context"
	"os"

	"github.com/shoalmq/shoal/examples/internal/program"
	"github.com/shoalmq/shoal/internal/config"
)

const usage = `Shoal: many nodes, one broker. Everyone is let in, unless -auth-way or a file says something else.

  cluster
        Three nodes in one process, for MQTT clients on 127.0.0.1:1883, :1885 and :1887.

  cluster -node-name c01 -raft-bootstrap
  cluster -node-name c02 -gossip-port 7947 -raft-port 8947 -members localhost:7946 -tcp :1885 -ws :1886
  cluster -node-name c03 -gossip-port 7948 -raft-port 8948 -members localhost:7946 -tcp :1887 -ws :1888
        One node per process. A flag that only one node can have chooses this; -node-name is then required.

  cluster -conf node1.yml
        One node, as the file says; those of comqtt are understood.

Nodes trust each other and talk in plain text, unless cluster.tls and cluster.gossip-key-file are set in a file:
keep their ports in a network of their own.
`

func main() {
	os.Exit(program.Main(config.Program{Name: "cluster", Cluster: true, Usage: usage}, os.Args[1:],
		program.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, check, run))
}

// check makes the node that run would start.
func check(a *program.App) error {
	if !a.IsNode() {
		return nil
	}
	_, _, err := newNode(context.Background(), a, "data")
	return err
}

func run(ctx context.Context, a *program.App) error {
	if a.IsNode() {
		return runNode(ctx, a)
	}
	return runDemo(ctx, demoAddresses, a.Loaded.DataDir, a.Log, a.Err)
}
