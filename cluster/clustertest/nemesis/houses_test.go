package nemesis_test

import (
	"os"
	"slices"
	"strings"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
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
	return without(kinds, nemesis.Replace, nemesis.ReplaceAll, nemesis.Resize)
}

// notYet are kinds of faults under which guarantees are broken now and then, wherever sessions are; notYetInStore those of a shared store:
//
//   - packet-loss: a message comes twice to a session whose node was given up and rejoins at once, or is lost;
//   - store-crash, store-stall, store-full: a message of QoS 2 that its publisher sends again, elsewhere, comes twice, and a will is lost.
var (
	notYet        = []nemesis.Kind{nemesis.PacketLoss}
	notYetInStore = []nemesis.Kind{nemesis.StoreCrash, nemesis.StoreStall, nemesis.StoreFull}
)

var houses = map[string]house{
	// Sessions are in the nodes' agreed order, which is in memory.
	"memory": {nodes: 3, kinds: nemesis.Kinds(), notYet: notYet, with: in()},
	// The same, and the order is on disk.
	"disk": {nodes: 3, kinds: join(nemesis.Kinds(), nemesis.DiskKinds()), notYet: notYet, with: in(clustertest.WithDisk())},
	// Sessions are in a store that all nodes share.
	"shared": {nodes: 3, kinds: join(nemesis.Kinds(), nemesis.StoreKinds()), notYet: join(notYet, notYetInStore), with: withShared()},
	// The same, and what the nodes agree on is on disk.
	"shared-disk": {nodes: 3, kinds: join(nemesis.Kinds(), nemesis.DiskKinds(), nemesis.StoreKinds()), notYet: join(notYet, notYetInStore), with: withShared(clustertest.WithDisk())},
	// Two nodes, and one alone. Without a majority nobody serves.
	"two": {nodes: 2, kinds: withoutReplacement(join(nemesis.Kinds(), nemesis.DiskKinds())), notYet: notYet, with: in(clustertest.WithDisk())},
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
