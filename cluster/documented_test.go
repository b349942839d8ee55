package cluster_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
)

// documented are the nodes that the package's documentation prints, and README.
func documented() (doc []cluster.Config) {
	c01 := cluster.Config{Name: "c01", BindIP: "10.0.0.1", Dir: "data/c01", Bootstrap: true}
	c02 := cluster.Config{Name: "c02", BindIP: "10.0.0.2", Dir: "data/c02", Join: []string{"10.0.0.1:7946"}}
	return []cluster.Config{c01, c02}
}

// What is printed is what is compiled here, and valid.
func TestDocumentedNodesAreThese(t *testing.T) {
	own, err := os.ReadFile("documented_test.go")
	require.NoError(t, err)
	literal := regexp.MustCompile(`cluster\.Config\{.*?\}\)`)
	found := 0
	text, err := os.ReadFile("doc.go") // the README's node is examples/node
	require.NoError(t, err)
	for _, printed := range literal.FindAllString(string(text), -1) {
		require.Contains(t, string(own), printed[:len(printed)-1])
		found++
	}
	require.Equal(t, 2, found)
	for _, cfg := range documented() {
		_, err := cluster.New(cfg).Self()
		require.NoError(t, err)
	}
}

// The nodes of the documentation, as they are printed, become a cluster.
func TestDocumentedNodesFormACluster(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(1)
		doc := documented()
		var brokers []*shoal.Broker
		for _, cfg := range doc {
			cfg.Network, cfg.Dir = net.Host(cfg.Name), filepath.Join(dir, cfg.Dir)
			b, err := shoal.New(shoal.WithCluster(cluster.New(cfg)), shoal.WithAnonymous())
			require.NoError(t, err)
			require.NoError(t, b.Start(t.Context()))
			brokers = append(brokers, b)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, b := range brokers {
			require.NoError(t, b.Ready(ctx))
		}
		for _, b := range brokers {
			require.NoError(t, b.Shutdown(ctx))
		}
		time.Sleep(time.Minute) // the last timers of gossip and gRPC run out
	})
}
