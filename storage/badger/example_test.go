package badger_test

import (
	"context"
	"fmt"
	"os"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/badger"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "shoal")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := shoal.New(shoal.WithStorage(badger.Open(dir)), shoal.WithListen("tcp://127.0.0.1:0"), shoal.WithAnonymous())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	fmt.Println(b.Start(ctx), b.Shutdown(ctx))
	// Output: <nil> <nil>
}
