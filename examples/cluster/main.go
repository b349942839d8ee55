// Command cluster is Shoal as a clustered broker.
//
//	go run ./examples/cluster
//
// runs three nodes in one process that act as one broker (demo.go). With flags it is one node of a cluster of processes
// (node.go, flags.go). It lets everyone in.
package main

import (
	"context"
	"io"
	"os"

	"github.com/shoalmq/shoal/examples/internal/program"
)

func main() {
	os.Exit(program.Run("cluster", os.Stderr, func(ctx context.Context) error {
		return run(ctx, os.Args[1:], os.Stderr)
	}))
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	log := program.NewLogger(stderr, s.logLevel)
	if s.node != nil {
		return runNode(ctx, s.node, s.dataDir, log)
	}
	return runDemo(ctx, demoAddresses, s.dataDir, log, stderr)
}
