package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/shoalmq/shoal"
)

// drainTime is how long brokers may take to drain.
const drainTime = 20 * time.Second

// Serve runs brokers that have been started: it waits until they serve clients, says so by calling ready, waits until ctx ends, and
// drains them.
func Serve(ctx context.Context, log *slog.Logger, ready func(), brokers ...*shoal.Broker) error {
	for _, b := range brokers {
		if err := b.Ready(ctx); err != nil && ctx.Err() == nil {
			return errors.Join(err, Stop(ctx, brokers...))
		}
	}
	if ctx.Err() == nil {
		ready()
	}
	<-ctx.Done()
	log.Info("draining; a second signal stops at once")
	if err := Stop(ctx, brokers...); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// Stop drains brokers, even if ctx has ended.
func Stop(ctx context.Context, brokers ...*shoal.Broker) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
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
