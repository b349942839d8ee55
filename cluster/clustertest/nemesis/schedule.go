package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

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
	var s Schedule
	for at := time.Duration(0); at < lasts && len(kinds) > 0; {
		step := Step{Kind: kinds[rng.IntN(len(kinds))], After: between(rng, 200*time.Millisecond, 4*time.Second), Nodes: rng.Perm(nodes)}
		step.For = between(rng, 100*time.Millisecond, 6*time.Second)
		step.measure(rng)
		s = append(s, step)
		at += step.After + step.For*time.Duration(max(1, step.times()))
	}
	return s
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(rng.Int64N(int64(most-least)))).Round(time.Millisecond)
}

// measure decides how much of its kind a step does, and for how long.
func (s *Step) measure(rng *rand.Rand) {
	const quickest, quick = 10 * time.Millisecond, 1500 * time.Millisecond
	switch s.Kind {
	case Storm, Flaky:
		s.Size = 2 + rng.IntN(4)
		s.For = between(rng, 100*time.Millisecond, quick) // each time
	case QuickRestart, KillLeader:
		s.For = between(rng, quickest, quick)
	case MovedRestart:
		s.Size = rng.IntN(3000)
		s.For = between(rng, quickest, quick)
	case CrashLoop:
		s.Size = 3 + rng.IntN(8)
		s.For = between(rng, quickest, quick)
	case Slow:
		s.Size = 1 + rng.IntN(400)
	case SlowDisk:
		s.Size = 1 + rng.IntN(400)
		if rng.IntN(4) == 0 {
			s.Size, s.For = noAnswer, between(rng, 6*time.Second, 10*time.Second)
		}
	case Clock:
		s.Size = 1 + rng.IntN(7200)
		if rng.IntN(2) == 0 {
			s.Size = -s.Size
		}
	case Loss:
		s.Size = 10 + rng.IntN(60)
	case PacketLoss:
		s.Size = 5 + rng.IntN(36)
		s.For = between(rng, 2*time.Second, 8*time.Second)
	case Replace, ReplaceAll, Resize:
		s.Size = rng.IntN(int(farewells))
	case StoreCrash, StoreStall:
		if rng.IntN(3) == 0 {
			s.For = between(rng, 5*time.Second, 9*time.Second)
		}
	case Partition:
		if rng.IntN(4) == 0 {
			s.For = between(rng, 15*time.Second, 20*time.Second) // so that streams time out
		}
	}
}

// times is how often a step does in a row what it does; 0 if its Size is another measure.
func (s *Step) times() int {
	switch s.Kind {
	case Storm, Flaky, CrashLoop:
		return s.Size
	}
	return 0
}

// noAnswer is how many milliseconds a disk takes that does not answer.
const noAnswer = 1_000_000

// others returns all of n nodes but one.
func others(n, one int) (list []int) {
	for i := range n {
		if i != one {
			list = append(list, i)
		}
	}
	return slices.Clip(list)
}
