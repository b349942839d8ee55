package cluster

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(envNode) != "" {
		os.Exit(runAsNode())
	}
	goleak.VerifyTestMain(m)
}
