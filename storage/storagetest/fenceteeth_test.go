package storagetest_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
)

type commitFencedFunc func(s shoal.FencedStorage, ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) ([]string, error)

// brokenFence is a FencedStorage with one fault. What is nil is not broken.
type brokenFence struct {
	shoal.FencedStorage
	commit commitFencedFunc
	spaces func(s shoal.FencedStorage, ctx context.Context, prefix string, fn func(space string) error) error
}

func (b brokenFence) CommitFenced(ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) ([]string, error) {
	if b.commit == nil {
		return b.FencedStorage.CommitFenced(ctx, ops, fences)
	}
	return b.commit(b.FencedStorage, ctx, ops, fences)
}

func (b brokenFence) Spaces(ctx context.Context, prefix string, fn func(space string) error) error {
	if b.spaces == nil {
		return b.FencedStorage.Spaces(ctx, prefix, fn)
	}
	return b.spaces(b.FencedStorage, ctx, prefix, fn)
}

// fenceFaults are drivers with a fault, by the subtest that must find it.
var fenceFaults = map[string]brokenFence{
	"FenceOrder": {commit: func(s shoal.FencedStorage, ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) ([]string, error) {
		fences = maps.Clone(fences)
		for space, f := range fences {
			fences[space] = shoal.Fence{Epoch: f.Epoch} // the Step does not count
		}
		return s.CommitFenced(ctx, ops, fences)
	}},
	"FenceSpaces": {commit: func(s shoal.FencedStorage, ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) ([]string, error) {
		stale, err := s.CommitFenced(ctx, nil, fences)
		if err != nil || len(stale) > 0 {
			return stale, err // one stale Space keeps all from being written
		}
		return s.CommitFenced(ctx, ops, fences)
	}},
	"FenceAlone": {commit: func(s shoal.FencedStorage, ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) ([]string, error) {
		fences = maps.Clone(fences)
		maps.DeleteFunc(fences, func(space string, _ shoal.Fence) bool {
			return !slices.ContainsFunc(ops, func(op shoal.Op) bool { return op.Space == space })
		})
		return s.CommitFenced(ctx, ops, fences)
	}},
	"FenceOutlivesSpace": {commit: func(s shoal.FencedStorage, ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) ([]string, error) {
		fences = maps.Clone(fences)
		for space := range fences {
			none := true
			if err := s.Scan(ctx, space, nil, func(_, _ []byte) error { none = false; return nil }); err != nil {
				return nil, err
			}
			if none {
				delete(fences, space) // as if the Fence had gone with the Space
			}
		}
		return s.CommitFenced(ctx, ops, fences)
	}},
	"FenceRefused": {commit: func(s shoal.FencedStorage, ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) ([]string, error) {
		if stale, err := s.CommitFenced(ctx, nil, fences); err != nil {
			return stale, err
		}
		return s.CommitFenced(ctx, ops, fences)
	}},
	"FenceRace": {commit: func() commitFencedFunc {
		var mu sync.Mutex
		last := make(map[string]shoal.Fence)
		return func(s shoal.FencedStorage, ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) (stale []string, err error) {
			mu.Lock()
			for space, f := range fences {
				if f.Compare(last[space]) < 0 && f.Epoch > 1 { // it has looked before the others
					stale = append(stale, space)
				} else {
					last[space] = f
				}
			}
			mu.Unlock()
			if len(stale) > 0 {
				return stale, nil
			}
			if fences["s"].Epoch == 1 {
				time.Sleep(200 * time.Millisecond) // between the look and the deed
			}
			return nil, s.Commit(ctx, ops)
		}
	}()},
	"Spaces": {spaces: func(s shoal.FencedStorage, ctx context.Context, prefix string, fn func(space string) error) error {
		before, _, _ := strings.Cut(prefix, "*") // as if it were a pattern
		return s.Spaces(ctx, before, fn)
	}},
}

// fresh returns a driver with a fault.
func (b brokenFence) fresh() shoal.Storage {
	b.FencedStorage = clustertest.NewSharedStorage().Storage("a")
	return b
}
