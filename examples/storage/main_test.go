package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
		return openLog(filepath.Join(dir, "mqtt.log"))
	}, storagetest.Persistent())
}

func TestKilledProcessLosesNothing(t *testing.T) {
	storagetest.Crash(t, func(dir string) shoal.Storage { return openLog(filepath.Join(dir, "mqtt.log")) })
}

func TestFullDisk(t *testing.T) {
	storagetest.FullDisk(t, 32, func(dir string) shoal.Storage {
		require.NoError(t, os.MkdirAll(dir, 0o700))
		return openLog(filepath.Join(dir, "mqtt.log"))
	})
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, run(ctx, "tcp://127.0.0.1:0", filepath.Join(t.TempDir(), "mqtt.log")))
}

func TestDriverIsSmall(t *testing.T) {
	text, err := os.ReadFile("logfile.go")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(text), "\n"), 100)
}
