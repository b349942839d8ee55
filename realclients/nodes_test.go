package realclients

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
)

// patience is how long anything may take.
const patience = 30 * time.Second

// endpoint is where clients reach one node.
type endpoint struct {
	tcp string // host:port
	ws  string // URL
}

// nodes are those of the cluster that all tests use. Tests keep apart by their topics and client IDs.
var nodes []endpoint

func TestMain(m *testing.M) {
	status, err := run(m)
	if err == nil {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	brokers, err := startCluster(ctx, 3)
	if err == nil {
		status = m.Run()
	}
	stop, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, b := range brokers {
		err = errors.Join(err, b.Shutdown(stop))
	}
	return status, err
}

func startCluster(ctx context.Context, n int) (brokers []*shoal.Broker, err error) {
	// What the nodes have to complain about is shown with a test that fails.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var join []string
	for i := range n {
		c := cluster.New(cluster.Config{
			Name: fmt.Sprintf("c%02d", i+1), Bootstrap: i == 0, GossipPort: cluster.AnyPort, Join: join, Logger: log,
			// No node is lost here, and none is to be given up because a busy machine let it wait.
			LeaseDuration: 15 * time.Second, HeartbeatTimeout: 3 * time.Second, ElectionTimeout: 3 * time.Second,
		})
		b, err := shoal.New(
			shoal.WithListen("tcp://127.0.0.1:0", "ws://127.0.0.1:0"),
			shoal.WithAnonymous(),
			shoal.WithCluster(c),
			shoal.WithLogger(log),
		)
		if err != nil {
			return brokers, err
		}
		if err := b.Start(ctx); err != nil {
			return brokers, err
		}
		brokers = append(brokers, b)
		join = append(join, c.Addr())
		nodes = append(nodes, endpoint{tcp: b.Addrs()[0].String(), ws: "ws://" + b.Addrs()[1].String() + "/mqtt"})
	}
	for _, b := range brokers {
		if err := b.Ready(ctx); err != nil {
			return brokers, err
		}
	}
	return brokers, nil
}

var names atomic.Int64

// unique returns a name that no other test has, fit for a client ID of MQTT 3.1 and a topic.
func unique(prefix string) string { return prefix + strconv.FormatInt(names.Add(1), 10) }
