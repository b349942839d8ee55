package nemesis_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
	"github.com/shoalmq/shoal/storage/memory"
)

// house is how a cluster keeps what it has.
type house struct {
	nodes int
	// kinds are the faults that it must survive. notYet are those of them under which it does not hold yet what it promises: they are left out, unless CHAOS_KINDS
	// names them, or CHAOS_NOT_YET is set.
	kinds, notYet []nemesis.Kind
	with          func() ([]clustertest.Option, *clustertest.SharedStorage)
}

func join(lists ...[]nemesis.Kind) []nemesis.Kind { return slices.Concat(lists...) }

func without(kinds []nemesis.Kind, some ...nemesis.Kind) []nemesis.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k nemesis.Kind) bool { return slices.Contains(some, k) })
}

// withoutReplacement are the kinds that do not change who the nodes are.
func withoutReplacement(kinds []nemesis.Kind) []nemesis.Kind {
	return without(kinds, nemesis.Replace, nemesis.ReplaceAll, nemesis.ReplaceOnly, nemesis.Resize, nemesis.ResizeOnly)
}

var houses = map[string]house{
	// Sessions are in the nodes' agreed order, which is in memory.
	"memory": {nodes: 3, kinds: nemesis.Kinds(), with: in()},
	// The same, and the order is on disk.
	"disk": {nodes: 3, kinds: join(nemesis.Kinds(), nemesis.DiskKinds()), with: in(clustertest.WithDisk())},
	// The same, and each node has a store of its own beside it, which outlives it.
	"own": {nodes: 3, kinds: join(nemesis.Kinds(), nemesis.DiskKinds()), with: withOwn},
	// Sessions are in a store that all nodes share.
	"shared": {nodes: 3, kinds: join(nemesis.Kinds(), nemesis.StoreKinds()), with: withShared()},
	// The same, and what the nodes agree on is on disk.
	"shared, on disk": {nodes: 3, kinds: join(nemesis.Kinds(), nemesis.DiskKinds(), nemesis.StoreKinds()), with: withShared(clustertest.WithDisk())},
	// Two nodes, and one alone. Without a majority nobody serves.
	"two": {nodes: 2, kinds: withoutReplacement(join(nemesis.Kinds(), nemesis.DiskKinds())), with: in(clustertest.WithDisk())},
	"one": {nodes: 1, kinds: nemesis.LonelyKinds(), with: in(clustertest.WithDisk())},
}

func in(o ...clustertest.Option) func() ([]clustertest.Option, *clustertest.SharedStorage) {
	return func() ([]clustertest.Option, *clustertest.SharedStorage) { return o, nil }
}

func withShared(o ...clustertest.Option) func() ([]clustertest.Option, *clustertest.SharedStorage) {
	return func() ([]clustertest.Option, *clustertest.SharedStorage) {
		s := clustertest.NewSharedStorage()
		return append(slices.Clone(o), clustertest.WithSharedStorage(s)), s
	}
}

// withOwn gives each node a store that is as good as a file: it outlives the node, goes with its folder, and is gone when the node is wiped.
func withOwn() ([]clustertest.Option, *clustertest.SharedStorage) {
	var stores []*memory.Store
	return []clustertest.Option{clustertest.WithDisk(), clustertest.WithStorage(func(_ int, dir string) shoal.Storage {
		name := filepath.Join(dir, "store")
		number, err := os.ReadFile(name)
		if err != nil {
			number = []byte(strconv.Itoa(len(stores)))
			stores = append(stores, memory.New())
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(name, number, 0o600)); err != nil {
				panic(err)
			}
		}
		i, err := strconv.Atoi(string(number))
		if err != nil {
			panic(err)
		}
		return kept{stores[i]}
	})}, nil
}

// kept is a store that its node does not close: what is left of a node that was killed may do so when the next one has opened it.
type kept struct{ *memory.Store }

func (kept) Close() error { return nil }

// chosen are the kinds of faults that are done in a house: those that are proven, or those that CHAOS_KINDS names, or all with CHAOS_NOT_YET.
func (h house) chosen() []nemesis.Kind {
	if text := os.Getenv("CHAOS_KINDS"); text != "" {
		var named []nemesis.Kind
		for _, k := range strings.Split(text, ",") {
			if slices.Contains(h.kinds, nemesis.Kind(k)) {
				named = append(named, nemesis.Kind(k))
			}
		}
		return named
	}
	if os.Getenv("CHAOS_NOT_YET") != "" {
		return h.kinds
	}
	return without(h.kinds, h.notYet...)
}
