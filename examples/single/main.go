// Command single is Shoal as one broker on 127.0.0.1:1883. Flags, or comqtt's single.yml, say more; -h lists them.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/admin"
	"github.com/shoalmq/shoal/examples/internal/program"
	"github.com/shoalmq/shoal/internal/config"
)

const usage = `Shoal as one broker. Everyone is let in, unless -auth-way or a file says something else.

  single -data-dir data
        MQTT on 127.0.0.1:1883; sessions and retained messages are kept in data/mqtt.db.

  single -conf single.yml
        As the file says; those of comqtt are understood.
`

func main() {
	os.Exit(program.Main(config.Program{Name: "single", Usage: usage}, os.Args[1:],
		program.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, check, run))
}

// check makes the broker that run would start.
func check(a *program.App) error {
	opts, err := a.Options()
	if err != nil {
		return err
	}
	_, err = shoal.New(opts...)
	return err
}

func run(ctx context.Context, a *program.App) (err error) {
	dir, remove, err := a.Directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	store, where := program.SingleStorage(a.Loaded, dir)
	a.Greet(where)
	if err := a.Bind(ctx); err != nil {
		return err
	}
	opts, err := a.Options()
	if err == nil && store != nil {
		opts = append(opts, shoal.WithStorage(store))
	}
	var b *shoal.Broker
	if err == nil {
		b, err = shoal.New(opts...)
	}
	if err != nil {
		a.Unbind()
		return err
	}
	if err := b.Start(ctx); err != nil {
		a.Unbind()
		return err
	}
	return a.Serve(ctx, b, admin.Config{}, func() {
		a.Log.Info("shoal server started")
		if address := a.TCPAddress(); address != "" {
			program.HowToTry(a.Err, "Subscribe and publish:", address, address)
		}
	})
}
