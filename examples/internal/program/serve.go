package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/admin"
)

// drainTime is how long brokers may take to drain, unless the configuration says something else.
const drainTime = 20 * time.Second

// Serve runs brokers that have been started: it waits until they serve clients, says so by calling ready, waits until ctx ends, and
// drains them.
func Serve(ctx context.Context, log *slog.Logger, ready func(), brokers ...*shoal.Broker) error {
	return serve(ctx, log, drainTime, ready, brokers...)
}

func serve(ctx context.Context, log *slog.Logger, drain time.Duration, ready func(), brokers ...*shoal.Broker) error {
	for _, b := range brokers {
		if err := b.Ready(ctx); err != nil && ctx.Err() == nil {
			return errors.Join(err, stop(ctx, drain, brokers...))
		}
	}
	if ctx.Err() == nil {
		ready()
	}
	<-ctx.Done()
	notify(daemon.SdNotifyStopping)
	log.Info("draining; a second signal stops at once")
	if err := stop(ctx, drain, brokers...); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// Serve runs the broker of a program, which has been started, with its info listener, until ctx ends.
func (a *App) Serve(ctx context.Context, b *shoal.Broker, info admin.Config, ready func()) error {
	info.Broker = b
	servers, err := a.startInfo(info)
	if err != nil {
		a.Log.Error("no info listener; serving without it", "error", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		servers.stop(ctx)
	}()
	for _, onChange := range a.auth.changes {
		onChange(b.InvalidateAuthorization)
	}
	wait := a.watch(ctx, b.InvalidateAuthorization, func() { b.Metrics() })
	defer wait()
	return serve(ctx, a.Log, a.DrainTimeout, func() {
		ready()
		notify(daemon.SdNotifyReady)
	}, b)
}

// Stop drains brokers, even if ctx has ended.
func Stop(ctx context.Context, brokers ...*shoal.Broker) error {
	return stop(ctx, drainTime, brokers...)
}

func stop(ctx context.Context, drain time.Duration, brokers ...*shoal.Broker) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	errs := make([]error, len(brokers))
	var wg sync.WaitGroup
	for i, b := range brokers {
		wg.Go(func() {
			if err := b.Shutdown(ctx); err != nil {
				errs[i] = fmt.Errorf("not everything was drained: %w", err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
