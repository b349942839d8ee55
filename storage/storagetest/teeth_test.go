package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/memory"
	"github.com/shoalmq/shoal/storage/storagetest"
)

type (
	entryFunc  = func(key, value []byte) error
	commitFunc func(s *memory.Store, ctx context.Context, ops []shoal.Op) error
	scanFunc   func(s *memory.Store, ctx context.Context, space string, from []byte, fn entryFunc) error
)

// broken is a Storage with one fault. What is nil is not broken.
type broken struct {
	*memory.Store
	commit commitFunc
	scan   scanFunc
}

func (b broken) Commit(ctx context.Context, ops []shoal.Op) error {
	if b.commit == nil {
		return b.Store.Commit(ctx, ops)
	}
	return b.commit(b.Store, ctx, ops)
}

func (b broken) Scan(ctx context.Context, space string, from []byte, fn entryFunc) error {
	if b.scan == nil {
		return b.Store.Scan(ctx, space, from, fn)
	}
	return b.scan(b.Store, ctx, space, from, fn)
}

// mapOps returns a Commit that changes every op before.
func mapOps(change func(op *shoal.Op)) commitFunc {
	return func(s *memory.Store, ctx context.Context, ops []shoal.Op) error {
		ops = slices.Clone(ops)
		for i := range ops {
			change(&ops[i])
		}
		return s.Commit(ctx, ops)
	}
}

// faults are drivers with a fault, by the subtest that must find it.
var faults = map[string]broken{
	"PutDelete": {commit: mapOps(func(op *shoal.Op) {
		if op.Value == nil {
			op.Space += "?" // deletes nothing
		}
	})},
	"DeleteSpace": {commit: mapOps(func(op *shoal.Op) {
		if op.Key == nil && op.Value == nil {
			op.Key = []byte("nothing")
		}
	})},
	"OrderOfOps": {commit: func(s *memory.Store, ctx context.Context, ops []shoal.Op) error {
		ops = slices.Clone(ops)
		slices.SortStableFunc(ops, func(a, b shoal.Op) int { return bytes.Compare(b.Key, a.Key) })
		return s.Commit(ctx, ops)
	}},
	"EmptyValue": {commit: mapOps(func(op *shoal.Op) {
		if len(op.Value) == 0 {
			op.Value = nil
		}
	})},
	"Refused": {commit: func(s *memory.Store, ctx context.Context, ops []shoal.Op) error {
		for _, op := range ops {
			if err := s.Commit(ctx, []shoal.Op{op}); err != nil { // the ops before it are written
				return err
			}
		}
		return s.Commit(ctx, nil)
	}},
	"Repeated": {commit: func(s *memory.Store, ctx context.Context, ops []shoal.Op) error {
		for _, op := range ops {
			if op.Key != nil && op.Value == nil && s.Scan(ctx, op.Space, op.Key, func(k, _ []byte) error {
				if bytes.Equal(k, op.Key) {
					return errFound
				}
				return errLater
			}) != errFound {
				return errors.New("deleted what is not there")
			}
		}
		return s.Commit(ctx, ops)
	}},
	"CallersSlices": {commit: func(s *memory.Store, ctx context.Context, ops []shoal.Op) error {
		err := s.Commit(ctx, ops)
		for _, op := range ops {
			clear(op.Value)
		}
		return err
	}},
	"BigBatch": {commit: func(s *memory.Store, ctx context.Context, ops []shoal.Op) error {
		return s.Commit(ctx, ops[:min(len(ops), 5000)])
	}},
	"BigValues": {commit: mapOps(func(op *shoal.Op) { op.Value = op.Value[:min(len(op.Value), 1<<20)] })},
	"LongKeys":  {commit: mapOps(func(op *shoal.Op) { op.Key = op.Key[:min(len(op.Key), 65_535)] })},
	"LongSpaces": {commit: mapOps(func(op *shoal.Op) { op.Space = op.Space[:min(len(op.Space), 65_535)] }), scan: func(s *memory.Store, ctx context.Context, space string, from []byte, fn entryFunc) error {
		return s.Scan(ctx, space[:min(len(space), 65_535)], from, fn)
	}},
	"SpacesApart": {commit: mapOps(func(op *shoal.Op) {
		op.Space = strings.ToLower(op.Space)
	}), scan: func(s *memory.Store, ctx context.Context, space string, from []byte, fn entryFunc) error {
		return s.Scan(ctx, strings.ToLower(space), from, fn)
	}},
	"ScanOrder": {scan: func(s *memory.Store, ctx context.Context, space string, from []byte, fn entryFunc) error {
		var keys, values []string
		err := s.Scan(ctx, space, from, func(key, value []byte) error {
			keys, values = append(keys, string(key)), append(values, string(value))
			return nil
		})
		for len(keys) > 0 && err == nil { // as if bytes had a sign
			i := 0
			for j := range keys {
				if int8(keys[j][0]) < int8(keys[i][0]) {
					i = j
				}
			}
			err = fn([]byte(keys[i]), []byte(values[i]))
			keys, values = slices.Delete(keys, i, i+1), slices.Delete(values, i, i+1)
		}
		return err
	}},
	"ScanFrom": {scan: func(s *memory.Store, ctx context.Context, space string, from []byte, fn entryFunc) error {
		if len(from) > 0 {
			from = append(slices.Clone(from), 0) // not less than becomes greater than
		}
		return s.Scan(ctx, space, from, fn)
	}},
	"ScanStops": {scan: func(s *memory.Store, ctx context.Context, space string, from []byte, fn entryFunc) error {
		if err := s.Scan(ctx, space, from, fn); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		return nil
	}},
	"ScanUnknown": {scan: func(s *memory.Store, ctx context.Context, space string, from []byte, fn entryFunc) error {
		if space == "unknown" {
			return errors.New("no such space")
		}
		return s.Scan(ctx, space, from, fn)
	}},
	"Context": {commit: func(s *memory.Store, ctx context.Context, ops []shoal.Op) error {
		return s.Commit(context.WithoutCancel(ctx), ops)
	}},
	"Closed": {commit: func(s *memory.Store, ctx context.Context, ops []shoal.Op) error {
		if err := s.Commit(ctx, ops); err != nil {
			return errors.New(err.Error()) // does not wrap
		}
		return nil
	}},
	"Reopen": {}, // every open makes a new one
	"Model": {commit: mapOps(func(op *shoal.Op) {
		if op.Space == "ab" && len(op.Key) == 3 {
			op.Value = nil
		}
	})},
}

var errFound, errLater = errors.New("found"), errors.New("later")

const faultVariable = "SHOAL_TEST_STORAGE_FAULT"

// TestFault is run by TestSuiteFindsFaults, in a process of its own since it must fail.
func TestFault(t *testing.T) {
	fault, ok := faults[os.Getenv(faultVariable)]
	if fenced, ok := fenceFaults[os.Getenv(faultVariable)]; ok {
		storagetest.Run(t, func(*testing.T, string) shoal.Storage { return fenced.fresh() })
		return
	}
	if !ok {
		t.Skip("is run by TestSuiteFindsFaults")
	}
	storagetest.Run(t, func(*testing.T, string) shoal.Storage {
		fault.Store = memory.New()
		return fault
	}, storagetest.Persistent())
}

func TestSuiteFindsFaults(t *testing.T) {
	for _, name := range slices.Concat(slices.Collect(maps.Keys(faults)), slices.Collect(maps.Keys(fenceFaults))) {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFault$/^"+name+"$", "-test.v", "-rapid.nofailfile")
			cmd.Env = append(os.Environ(), faultVariable+"="+name)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "the suite passed a driver with this fault")
			require.Contains(t, string(out), "--- FAIL: TestFault/"+name)
			require.NotContains(t, string(out), "panic:")
		})
	}
}
