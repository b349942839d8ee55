package program

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// feedWatchdog tells systemd that the program is alive, each time that the broker has answered what ask asks it, until ctx ends. A broker that does not answer
// within an interval is not told of, and systemd starts the program again. A question that is never answered leaves its goroutine behind.
func feedWatchdog(ctx context.Context, interval time.Duration, ask func(), log *slog.Logger) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	answered := make(chan struct{}, 1)
	waiting, said := false, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-answered:
			waiting, said = false, false
			notify(daemon.SdNotifyWatchdog)
		case <-tick.C:
			if waiting {
				if !said {
					log.Error("the broker does not answer; systemd is not told that it is alive", "interval", interval)
				}
				said = true
				continue
			}
			waiting = true
			go func() {
				ask()
				answered <- struct{}{}
			}()
		}
	}
}
