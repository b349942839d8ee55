package program

import (
	"fmt"
	"log/slog"
	"os"
)

// DataDir returns the directory for data: dir, which is made if it is not there, or a new temporary one if dir is empty. remove
// deletes a temporary one and leaves any other alone.
func DataDir(dir string) (path string, remove func() error, err error) {
	if dir == "" {
		if path, err = os.MkdirTemp("", "shoal-"); err != nil {
			return "", nil, fmt.Errorf("no temporary directory for the data (-data-dir): %w", err)
		}
		return path, func() error { return os.RemoveAll(path) }, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("-data-dir: %w", err)
	}
	return dir, func() error { return nil }, nil
}

// SayStorage logs where the data is; flagValue is what -data-dir says.
func SayStorage(log *slog.Logger, flagValue, dir string) {
	if flagValue == "" {
		log.Info("storage is temporary and removed at the end; -data-dir keeps it", "dir", dir)
		return
	}
	log.Info("storage", "dir", dir)
}
