// Package durability has tests of what a cluster keeps when nodes are lost, in its agreed order or in a store that its nodes share: sessions, messages,
// and that QoS 2 stays exactly once. It stands apart from the other tests of clusters so that none, under the race detector and repeated, comes near the
// time limit of a package.
package durability
