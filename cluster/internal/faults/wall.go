package faults

import "time"

// OnWall is an optional interface of a cluster's Network: a node whose clock is wrong, for tests. Only this module can name it.
type OnWall interface{ Wall() time.Time }

// Wall returns what the clock of a node with a Network shows.
func Wall(network any) time.Time {
	if n, ok := network.(OnWall); ok {
		return n.Wall()
	}
	return time.Now()
}
