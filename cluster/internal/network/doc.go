// Package network is how the parts of a cluster reach each other: packets, listeners and connections behind one small
// interface, so that the code under test is the code that ships. Real is the operating system's sockets; the memory
// network of cluster/clustertest/memnet is the other implementation.
package network
