package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a directory must be quiet before its files are read.
const settle = 100 * time.Millisecond

// watcher calls fn when something happens in the directories of files. Directories are watched and
// not files, because these are replaced rather than written.
type watcher struct {
	notify *fsnotify.Watcher
	done   chan struct{}
	once   sync.Once
}

func watch(paths []string, log *slog.Logger, fn func()) (*watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("file: watch for changes (Config.NoWatch does without): %w", err)
	}
	for _, p := range paths {
		if err := n.Add(filepath.Dir(p)); err != nil {
			return nil, errors.Join(fmt.Errorf("file: watch %s for changes (Config.NoWatch does without): %w",
				filepath.Dir(p), err), n.Close())
		}
	}
	w := &watcher{notify: n, done: make(chan struct{})}
	go w.run(log, fn)
	return w, nil
}

func (w *watcher) run(log *slog.Logger, fn func()) {
	defer close(w.done)
	quiet := time.NewTimer(0)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case _, ok := <-w.notify.Events:
			if !ok {
				return
			}
			quiet.Reset(settle)
		case err, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			log.LogAttrs(context.Background(), slog.LevelWarn, "changes of files may have been missed",
				slog.Any("error", err))
			quiet.Reset(settle)
		case <-quiet.C:
			fn()
		}
	}
}

// close ends the watcher and waits for it. Closing twice, or one that is nil, is fine.
func (w *watcher) close() (err error) {
	if w == nil {
		return nil
	}
	w.once.Do(func() { err = w.notify.Close() })
	<-w.done
	return err
}
