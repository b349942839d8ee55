// Command node is a program with a node of a cluster inside.
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
)

func main() {
	address := flag.String("address", "127.0.0.1", "this machine's address")
	first := flag.String("first", "", "the first machine's address; empty on that one")
	flag.Parse()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	ctx := context.Background()

	config := cluster.Config{Name: *address, BindIP: *address, Dir: "data/" + *address}
	if *first == "" {
		config.Bootstrap = true // exactly one node begins the cluster
	} else {
		config.Join = []string{*first + ":7946"}
	}
	b, err := shoal.New(
		shoal.WithListen("tcp://"+*address+":1883"),
		shoal.WithAnonymous(), // WithAuthenticator and WithAuthorizer decide who may do what
		shoal.WithCluster(cluster.New(config)),
		shoal.WithLogger(slog.Default()),
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-stop
	if err := b.Shutdown(ctx); err != nil { // sends the clients to the other nodes
		log.Fatal(err)
	}
}
