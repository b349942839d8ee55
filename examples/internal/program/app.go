package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/coreos/go-systemd/v22/activation"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/internal/config"
)

// Streams are a program's.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// App is a program that has read its configuration.
type App struct {
	*config.Loaded
	Streams
	Log *slog.Logger

	args      []string
	logging   *logging
	auth      *authentication
	listeners *listeners
	bridge    shoal.Bridge   // nil: none
	inherited []net.Listener // sockets that systemd has opened
}

// Main runs a program, and returns its exit status: it reads args and the environment, does what they ask for, and, if that is to serve, calls serve
// with a context that ends at the first SIGINT or SIGTERM. check makes what serve would start, for -check.
func Main(p config.Program, args []string, s Streams, check func(a *App) error, serve func(ctx context.Context, a *App) error) int {
	return Run(p.Name, s.Err, func(ctx context.Context) error {
		l, err := config.Load(p, args, os.Environ(), s.Err)
		if err != nil {
			return err
		}
		switch l.Command {
		case config.VersionCommand:
			_, err := fmt.Fprintf(s.Out, "shoal %s, %s, %s/%s\n", shoal.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		case config.PrintCommand:
			return l.Print(s.Out)
		case config.HashCommand:
			return hashPassword(s)
		}
		a := &App{Loaded: l, Streams: s, args: args}
		if l.Command == config.CheckCommand {
			return a.check(ctx, check)
		}
		return a.run(ctx, serve)
	})
}

// hashPassword reads a line and writes its hash.
func hashPassword(s Streams) error {
	line, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if line = trimNewline(line); line == "" {
		return Usagef("-hash-password: there is no password on standard input; try: echo secret | %s", "… -hash-password")
	}
	scheme, err := password.ParseScheme("argon2id")
	if err != nil {
		return err
	}
	hash, err := password.Make(scheme, []byte(line))
	if err == nil {
		_, err = fmt.Fprintln(s.Out, hash)
	}
	return err
}

// check looks at all that can be looked at without serving.
func (a *App) check(ctx context.Context, check func(a *App) error) (err error) {
	a.Log = slog.New(slog.DiscardHandler)
	if err := a.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.auth.close()) }()
	if err := check(a); err != nil {
		return &UsageError{Err: err}
	}
	for _, d := range a.Dead {
		_, _ = fmt.Fprintf(a.Out, "%s: %s has no effect: %s\n", d.Where, d.Key, d.Reason)
	}
	for _, n := range a.Notes {
		_, _ = fmt.Fprintln(a.Out, n)
	}
	_, err = fmt.Fprintln(a.Out, "The configuration is good.")
	return err
}

// prepare reads what the configuration names.
func (a *App) prepare(ctx context.Context) (err error) {
	if a.auth, err = newAuthentication(a.Loaded, a.Log); err != nil {
		return err
	}
	if a.bridge, err = newBridge(a.Loaded); err == nil {
		a.listeners, err = planListeners(ctx, a.Loaded, a.inherited, a.Log)
	}
	if err != nil {
		return errors.Join(err, a.auth.close())
	}
	return nil
}

func (a *App) run(ctx context.Context, serve func(ctx context.Context, a *App) error) (err error) {
	if a.logging, err = newLogging(a.Loaded, a.Err); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.logging.close()) }()
	a.Log = a.logging.Logger
	if _, err := memlimit.Set(); err != nil && !errors.Is(err, memlimit.ErrNoLimit) { // GOMEMLIMIT wins over the container's limit
		a.Log.Debug("no memory limit found", "error", err)
	}
	if a.inherited, err = inheritedListeners(); err != nil {
		return err
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.auth.close()) }()
	if err := CheckPorts(ctx, a.listeners.ports); err != nil {
		return err
	}
	return serve(ctx, a)
}

// inheritedListeners are the sockets that systemd has opened for this process.
func inheritedListeners() (listeners []net.Listener, err error) {
	all, err := activation.Listeners()
	for _, l := range all {
		if l != nil { // not a stream
			listeners = append(listeners, l)
		}
	}
	return listeners, err
}

// Greet says what there is to say before anything is started.
func (a *App) Greet(where string, attrs ...any) {
	a.Log.Info("shoal initializing", append(attrs, "version", shoal.Version())...)
	if len(a.Dead) > 0 {
		keys := make([]string, 0, len(a.Dead))
		for _, d := range a.Dead {
			keys = append(keys, d.Key)
		}
		a.Log.Warn("these keys have no effect here; -check says why", "keys", keys)
	}
	for _, n := range a.Notes {
		a.Log.Warn(n) //nolint:sloglint // it is a sentence for people
	}
	if a.auth.Authenticator == nil {
		a.Log.Warn(everyone)
	} else {
		a.Log.Info("authentication", "source", a.auth.what)
	}
	a.Log.Info("storage", "where", where)
	if a.bridge != nil {
		a.Log.Info("bridge to "+bridgeWords[a.BridgeWay], "file", a.BridgePath) //nolint:sloglint // it is a sentence for people
	}
}

const everyone = "everyone is let in: there is no authentication"

// Directory is the one for data, and what removes it if it is a temporary one.
func (a *App) Directory() (path string, remove func() error, err error) {
	if a.StorageWay == storeMemory && a.DataDir == "" {
		return "", func() error { return nil }, nil
	}
	dir := dataDir(a.Loaded)
	if path, remove, err = DataDir(dir); err == nil && dir == "" && storageWay(a.Loaded) != storeRedis {
		a.Log.Info("storage is temporary and removed at the end; -data-dir keeps it", "dir", path)
	}
	return path, remove, err
}
