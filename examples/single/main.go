// Command single is Shoal as one broker on 127.0.0.1:1883, with its data in one file. It lets everyone in.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/examples/internal/program"
	"github.com/shoalmq/shoal/storage/bolt"
)

const usage = `Shoal as one broker. Everyone is let in.

  single -data-dir data
        MQTT on 127.0.0.1:1883; sessions and retained messages are kept in data/mqtt.db.
`

func main() {
	os.Exit(program.Run("single", os.Stderr, func(ctx context.Context) error {
		return run(ctx, os.Args[1:], os.Stderr)
	}))
}

func run(ctx context.Context, args []string, stderr io.Writer) (err error) {
	fs := program.Flags("single", usage, stderr)
	level := program.LogLevel(fs)
	tcpFlag := fs.String("tcp", ":1883", "`address` for MQTT clients over TCP; without a host it is on 127.0.0.1, empty is none")
	wsFlag := fs.String("ws", "", "`address` for MQTT clients over WebSocket, path /mqtt; without a host it is on 127.0.0.1 (default: none)")
	dataDir := fs.String("data-dir", "", "`directory` for data: DIR/mqtt.db (default: a temporary one, removed at the end)")
	if err := program.ParseFlags(fs, args); err != nil {
		return err
	}
	urls, ports, err := listeners(*tcpFlag, *wsFlag)
	if err != nil {
		return err
	}
	if err := program.CheckPorts(ctx, ports); err != nil {
		return err
	}
	dir, remove, err := program.DataDir(*dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()

	log := program.NewLogger(stderr, level)
	log.Info("shoal initializing")
	log.Warn("everyone is let in: there is no authentication in this example")
	program.SayStorage(log, *dataDir, dir)
	b, err := shoal.New(
		shoal.WithListen(urls...),
		shoal.WithAnonymous(),
		shoal.WithStorage(bolt.Open(filepath.Join(dir, "mqtt.db"))),
		shoal.WithLogger(log),
	)
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	return program.Serve(ctx, log, func() {
		log.Info("shoal server started")
		if *tcpFlag != "" {
			address := b.Addrs()[0].String()
			program.HowToTry(stderr, "Subscribe and publish:", address, address)
		}
	}, b)
}

func listeners(tcpFlag, wsFlag string) (urls []string, ports []program.Port, err error) {
	for _, l := range []struct{ flag, scheme, value string }{{"-tcp", "tcp://", tcpFlag}, {"-ws", "ws://", wsFlag}} {
		address, err := program.ListenAddress(l.flag, l.value)
		if err != nil {
			return nil, nil, err
		}
		if address != "" {
			urls = append(urls, l.scheme+address)
			ports = append(ports, program.Port{Flag: l.flag, Address: address})
		}
	}
	if len(urls) == 0 {
		return nil, nil, program.Usagef("-tcp and -ws are both empty: clients could not connect; give at least one an address, such as :1883")
	}
	return urls, ports, nil
}
