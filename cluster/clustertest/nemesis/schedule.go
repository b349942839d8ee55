package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults. Each lasts for a while and is undone then.
const (
	Kill      Kind = "kill"      // a node is killed, as by kill -9, and started again
	Stop      Kind = "stop"      // a node is stopped gracefully, and started again
	KillTwo   Kind = "kill-two"  // two nodes are killed one soon after the other: for clusters on disk
	KillAll   Kind = "kill-all"  // all nodes are killed: for clusters on disk
	Storm     Kind = "storm"     // a node is killed and started several times in a row
	Partition Kind = "partition" // the nodes fall into two parts
	OneWay    Kind = "one-way"   // nothing reaches one node from another
	Bridge    Kind = "bridge"    // two nodes do not see each other, all others see both
	Flaky     Kind = "flaky"     // a node is cut off and back again several times in a row
	Pause     Kind = "pause"     // a node stands still, as under SIGSTOP, and goes on
	Slow      Kind = "slow"      // what goes from or to a node takes its time
	Loss      Kind = "loss"      // a share of all packets of gossip is lost
	Reset     Kind = "reset"     // all streams between two nodes break
	SlowDisk  Kind = "slow-disk" // a node's disk takes its time, or does not answer at all: for clusters on disk
	Clock     Kind = "clock"     // a node's clock is set, and the node is killed and started again, mostly
	FullDisk  Kind = "full-disk" // a node's disk has no room: for clusters on disk
)

// Kinds returns all kinds of faults that a cluster without disks must survive.
func Kinds() []Kind {
	return []Kind{Kill, Stop, Storm, Partition, OneWay, Bridge, Flaky, Pause, Slow, Loss, Reset, Clock}
}

// DiskKinds returns those that a cluster on disk must survive as well.
func DiskKinds() []Kind { return []Kind{KillTwo, KillAll, SlowDisk, FullDisk} }

// Step is one fault of a Schedule.
type Step struct {
	After time.Duration // since the step before was begun
	Kind  Kind
	Nodes []int // concerned, in the order in which the kind speaks of them
	For   time.Duration
	// Size is how much, for kinds that have a measure: the delay in milliseconds, the share that is lost in percent, how many times in a row,
	// the seconds that a clock is ahead, or, negative, behind.
	Size int
}

func (s Step) String() string {
	text := fmt.Sprintf("after %s %s %v for %s", s.After, s.Kind, s.Nodes, s.For)
	if s.Size != 0 {
		text += fmt.Sprintf(" size %d", s.Size)
	}
	return text
}

// Schedule is what is done to a cluster. It follows from the seed alone.
type Schedule []Step

func (s Schedule) String() string {
	lines := make([]string, len(s))
	for i := range s {
		lines[i] = s[i].String()
	}
	return strings.Join(lines, "\n")
}

// NewSchedule makes a schedule of faults of some kinds for so many nodes, that lasts about as long as said.
func NewSchedule(seed uint64, nodes int, kinds []Kind, lasts time.Duration) Schedule {
	rng := rand.New(rand.NewPCG(seed, 0x6e656d65736973))
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(rng.Int64N(int64(most-least)))).Round(time.Millisecond)
	}
	var s Schedule
	for at := time.Duration(0); at < lasts && len(kinds) > 0; {
		step := Step{Kind: kinds[rng.IntN(len(kinds))], After: between(200*time.Millisecond, 4*time.Second), Nodes: rng.Perm(nodes)}
		step.For = between(100*time.Millisecond, 6*time.Second)
		switch step.Kind {
		case Storm, Flaky:
			step.Size = 2 + rng.IntN(4)
			step.For = between(100*time.Millisecond, 1500*time.Millisecond) // each time
		case Slow:
			step.Size = 1 + rng.IntN(400)
		case SlowDisk:
			step.Size = 1 + rng.IntN(400)
			if rng.IntN(4) == 0 {
				step.Size, step.For = noAnswer, between(6*time.Second, 10*time.Second)
			}
		case Clock:
			step.Size = 1 + rng.IntN(7200)
			if rng.IntN(2) == 0 {
				step.Size = -step.Size
			}
		case Loss:
			step.Size = 10 + rng.IntN(60)
		case Partition:
			if rng.IntN(4) == 0 {
				step.For = between(15*time.Second, 20*time.Second) // so that streams time out
			}
		}
		s = append(s, step)
		at += step.After + step.For*time.Duration(max(1, step.Size*boolInt(step.Kind == Storm || step.Kind == Flaky)))
	}
	return s
}

// noAnswer is how many milliseconds a disk takes that does not answer.
const noAnswer = 1_000_000

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// others returns all of n nodes but one.
func others(n, one int) (list []int) {
	for i := range n {
		if i != one {
			list = append(list, i)
		}
	}
	return slices.Clip(list)
}
