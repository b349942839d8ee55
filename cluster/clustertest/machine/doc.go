// Package machine has tests of clusters with a node whose machine is not well: its disk is full, slow or hangs, or its clock is wrong.
package machine
