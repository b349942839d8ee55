package program

import (
	"context"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/shoalmq/shoal/internal/config"
)

// certificateInterval is how often files of certificates are looked at.
const certificateInterval = 5 * time.Second

// watch reads again what changes while the program serves, until ctx ends: certificates by themselves, the rest at SIGHUP. ask asks the broker something; as long
// as that returns, systemd is told that the program is alive. watch returns what waits for it to end.
func (a *App) watch(ctx context.Context, invalidate, ask func()) (wait func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var wg sync.WaitGroup
	for _, c := range a.listeners.certs {
		wg.Go(func() { c.Watch(ctx, certificateInterval, a.Log) })
	}
	wg.Go(func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				notify("RELOADING=1\nMONOTONIC_USEC=" + monotonic())
				a.reload(invalidate)
				notify(daemon.SdNotifyReady)
			}
		}
	})
	if interval, err := daemon.SdWatchdogEnabled(false); err == nil && interval > 0 {
		wg.Go(func() { feedWatchdog(ctx, interval/2, ask, a.Log) })
	}
	return wg.Wait
}

// reload reads the configuration, and all files, again. What was read before stays in force where something is wrong.
func (a *App) reload(invalidate func()) {
	var applied []string
	fresh, err := config.Load(a.Program, a.args, os.Environ(), a.Err)
	if err != nil {
		a.Log.Error("not reloaded: the configuration has a mistake; what was read before stays in force", "error", err)
		return
	}
	changed := config.Changed(a.Loaded, fresh)
	if level, err := fresh.LogLevel(); err == nil && level != a.logging.level.Level() {
		a.logging.level.Set(level)
		applied = append(applied, "log.level")
	}
	for _, c := range a.listeners.certs {
		if renewed, err := c.Reload(); err != nil {
			a.Log.Error("certificates not renewed; those read before stay in force", "error", err)
		} else if renewed {
			applied = append(applied, "certificates")
		}
	}
	for _, path := range slices.Sorted(maps.Keys(a.auth.reload)) {
		if err := a.auth.reload[path](); err != nil {
			a.Log.Error("not read again; what was read before stays in force", "file", path, "error", err)
			continue
		}
		applied = append(applied, path)
	}
	invalidate()
	restart := slices.DeleteFunc(changed, func(path string) bool {
		return path == "log.level" || path == "log.zerolog-level" || path == "log.enable"
	})
	a.Log.Info("reloaded", "applied", applied, "needs_restart", restart)
}

// notify tells systemd, if that has started the program.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

func monotonic() string {
	var ts syscall.Timespec
	if err := clockMonotonic(&ts); err != nil {
		return "0"
	}
	return microseconds(ts)
}
