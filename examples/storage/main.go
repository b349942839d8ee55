// Command storage is a broker with a storage driver of its own, in logfile.go: what lasts goes to a file of one line for each
// Commit. The driver passes the suite that all drivers pass, in main_test.go.
//
//	go run ./examples/storage
package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"github.com/shoalmq/shoal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, "tcp://127.0.0.1:1883", "mqtt.log")
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, path string) error {
	b, err := shoal.New(shoal.WithStorage(openLog(path)), shoal.WithListen(listen), shoal.WithAnonymous())
	if err != nil {
		return err
	}
	return b.Run(ctx)
}
