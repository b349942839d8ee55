package nemesis

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/history"
)

// Options say what is done. The zero value is a run of seed 0 without faults.
type Options struct {
	// Seed decides what the clients and the nemesis do.
	Seed uint64
	// Kinds of faults. None: the cluster has an easy time.
	Kinds []Kind
	// Lasts is how long the clients are at work, about. Default 20 s.
	Lasts time.Duration
	// Pace stretches the time between two acts of a client. Default 1.
	Pace float64
	// Wills is how long after the work wills may still come. Default 40 s, so that the checker takes those for lost that have not.
	Wills time.Duration

	// Store is the one that the nodes share, for the kinds that concern it.
	Store *clustertest.SharedStorage

	tamper tamper
}

// Run lets clients work with the cluster while faults happen to it, lets the cluster recover, and returns what the clients saw. It fails the
// test if the cluster does not recover, or somebody waits in vain.
func Run(t testing.TB, c *clustertest.Cluster, o Options) history.History {
	t.Helper()
	return RunOn(t, newSimulated(c, o), o)
}

// RunOn is Run against anything that faults can happen to.
func RunOn(t testing.TB, c Target, o Options) history.History {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if o.Lasts == 0 {
		o.Lasts = 20 * time.Second
	}
	if o.Pace == 0 {
		o.Pace = 1
	}
	if o.Wills == 0 {
		o.Wills = 40 * time.Second
	}
	rec := history.NewRecorder()
	w := &workload{rec: rec, seed: o.Seed, tamper: o.tamper, pace: o.Pace, target: c}
	finished := false
	defer func() {
		if !finished { // what does not work ends the test at once
			keep(t, rec.History(), fmt.Sprintf("%s-unfinished", t.Name()))
		}
	}()
	err := w.start(ctx)
	defer w.end()
	if err != nil {
		finished = true
		t.Errorf("seed %d: the clients could not begin: %v", o.Seed, err)
		return rec.History()
	}
	f := &faults{c: c, rec: rec, herd: &w.herd}
	sleep(ctx, o.Lasts/4)
	w.troubled.Store(len(o.Kinds) > 0)
	began := time.Now()
	f.run(ctx, NewSchedule(o.Seed, c.Nodes(), o.Kinds, o.Lasts))
	sleep(ctx, o.Lasts-time.Since(began))
	f.recover()
	w.troubled.Store(false)
	sleep(ctx, o.Lasts/4)
	if err := w.settle(ctx, 2*time.Minute, o.Wills); err != nil {
		t.Errorf("seed %d: the cluster is well again, and %v", o.Seed, err)
	}
	finished = true
	return rec.History()
}

// Verify checks a history. What is wrong is printed with the test, and the whole history is left in a file for the command
// cluster/history/check, in the directory that the environment's CHAOS_DIR names, or that for temporary files.
func Verify(t testing.TB, h history.History, name string, o history.Options) {
	t.Helper()
	r := history.Check(h, o)
	if len(r.Violations) == 0 && !t.Failed() {
		t.Logf("%s: %d events, %s", name, len(h), r.Summary)
		return
	}
	var text strings.Builder
	if err := r.Write(&text, h); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	t.Errorf("%s: %d violations; the history is in %s\n%s", name, len(r.Violations), keep(t, h, name), &text)
}

// keep leaves a history in a file, for the command cluster/history/check.
func keep(t testing.TB, h history.History, name string) (file string) {
	t.Helper()
	file = filepath.Join(dir(), fmt.Sprintf("shoal-chaos-%s.jsonl", strings.ReplaceAll(name, "/", "-")))
	if err := h.WriteFile(file); err != nil {
		t.Errorf("%s: the history cannot be kept: %v", name, err)
	}
	t.Logf("%s: %d events are in %s", name, len(h), file)
	return file
}

func dir() string {
	if d := os.Getenv("CHAOS_DIR"); d != "" {
		return d
	}
	return os.TempDir()
}
