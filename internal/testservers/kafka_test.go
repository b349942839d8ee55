package testservers

import (
	"testing"
	"time"
)

// Kafka starts, ends as by kill -9, and starts again.
func TestKafka(t *testing.T) {
	began := time.Now()
	k := Kafka(t)
	t.Log("started in", time.Since(began))
	k.Kill()
	k.Start()
}
