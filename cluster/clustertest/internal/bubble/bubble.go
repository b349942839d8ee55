// Package bubble runs a test in virtual time against a cluster, for the packages that test clusters.
package bubble

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/shoalmq/shoal/cluster/clustertest"
)

// Of runs a test inside of a bubble, in virtual time, against a cluster of so many.
func Of(t *testing.T, nodes int, fn func(t *testing.T, c *clustertest.Cluster), opts ...clustertest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { fn(t, clustertest.New(t, nodes, opts...)) })
}

// In runs a test inside of a bubble, in virtual time, against a cluster of three.
func In(t *testing.T, fn func(t *testing.T, c *clustertest.Cluster), opts ...clustertest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { fn(t, clustertest.New(t, 3, opts...)) })
}

// Both is In, once with sessions in the nodes' agreed order, and once in a store that all nodes share.
func Both(t *testing.T, fn func(t *testing.T, c *clustertest.Cluster), opts ...clustertest.Option) {
	t.Helper()
	BothOf(t, 3, fn, opts...)
}

// BothOf is Both against a cluster of so many.
func BothOf(t *testing.T, nodes int, fn func(t *testing.T, c *clustertest.Cluster), opts ...clustertest.Option) {
	t.Helper()
	t.Run("agreed order", func(t *testing.T) { Of(t, nodes, fn, opts...) })
	t.Run("shared store", func(t *testing.T) {
		Of(t, nodes, fn, append(slices.Clone(opts), clustertest.WithSharedStorage(clustertest.NewSharedStorage()))...)
	})
}
