package nemesis

import (
	"context"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/cluster/history"
)

// faults does to a cluster what a schedule says.
type faults struct {
	c    Target
	rec  *history.Recorder
	herd *herd
}

// run does everything in a schedule, one after another.
func (f *faults) run(ctx context.Context, s Schedule) {
	for _, step := range s {
		sleep(ctx, step.After)
		if ctx.Err() != nil {
			return
		}
		f.do(ctx, step)
	}
}

func (f *faults) note(kind Kind, detail string, nodes ...int) {
	for _, i := range nodes {
		f.rec.Fault(string(kind), f.c.Name(i), detail)
	}
}

func (f *faults) kill(i int, detail string) {
	f.rec.Fault(history.FaultKill, f.c.Name(i), detail)
	f.c.Kill(i)
}

func (f *faults) restart(i int) {
	f.rec.Fault("start", f.c.Name(i), "")
	f.c.StartAgain(i)
	f.c.AwaitServing(i)
}

// do does one step and undoes it.
func (f *faults) do(ctx context.Context, s Step) {
	a, b := s.Nodes[0], s.Nodes[len(s.Nodes)-1]
	detail := s.String()
	if f.restarts(ctx, s, a, detail) || f.stalls(ctx, s, detail) || f.members(ctx, s, a, detail) || f.stores(ctx, s, detail) {
		return
	}
	switch s.Kind {
	case Kill:
		f.kill(a, detail)
		sleep(ctx, s.For)
		f.restart(a)
	case Stop:
		f.note(Stop, detail, a)
		f.c.Stop(a)
		sleep(ctx, s.For)
		f.restart(a)
	case Storm:
		for range s.Size {
			f.kill(a, detail)
			sleep(ctx, s.For)
			f.restart(a)
		}
	case KillTwo:
		f.kill(a, detail)
		sleep(ctx, s.For/4)
		f.kill(b, detail)
		sleep(ctx, s.For)
		f.note("start", "", a, b)
		f.c.StartAgain(a)
		f.c.StartAgain(b)
		f.c.AwaitServing(a)
		f.c.AwaitServing(b)
	case KillAll:
		for _, i := range s.Nodes {
			f.kill(i, detail)
		}
		sleep(ctx, s.For)
		for _, i := range s.Nodes {
			f.note("start", "", i)
			f.c.StartAgain(i)
		}
		for _, i := range s.Nodes {
			f.c.AwaitServing(i)
		}
	case Partition:
		f.note(Partition, detail, a)
		f.c.Partition([]int{a}, others(f.c.Nodes(), a))
		f.heal(ctx, s.For)
	case OneWay:
		f.note(OneWay, detail, a)
		f.c.Cut(a, b)
		f.heal(ctx, s.For)
	case Bridge:
		f.note(Bridge, detail, a, b)
		f.c.Cut(a, b)
		f.c.Cut(b, a)
		f.heal(ctx, s.For)
	case Flaky:
		for range s.Size {
			f.note(Flaky, detail, a)
			f.c.Partition([]int{a}, others(f.c.Nodes(), a))
			f.heal(ctx, s.For)
			sleep(ctx, s.For/2)
		}
	case Slow:
		f.note(Slow, detail, a)
		f.delay(a, time.Duration(s.Size)*time.Millisecond)
		sleep(ctx, s.For)
		f.delay(a, 0)
	case PacketLoss:
		f.note(PacketLoss, detail, a)
		f.c.(Lossy).PacketLoss(float64(s.Size) / 100)
		sleep(ctx, s.For)
		f.c.(Lossy).PacketLoss(0)
		f.rec.Fault("heal", "", "")
	case Loss:
		f.note(Loss, detail, a)
		f.c.Loss(float64(s.Size) / 100)
		sleep(ctx, s.For)
		f.c.Loss(0)
	case Reset:
		f.note(Reset, detail, a, b)
		f.c.Reset(a, b)
	case SlowDisk:
		f.note(SlowDisk, detail, a)
		f.c.(Disks).SlowDisk(a, time.Duration(s.Size)*time.Millisecond)
		sleep(ctx, s.For)
		f.note("disk well", "", a)
		f.c.(Disks).SlowDisk(a, 0)
	case Clock:
		f.note(Clock, detail, a)
		for i := range f.c.Nodes() { // of three that are wrong at once nobody could say which is right
			f.c.(Clocks).SetClock(i, 0)
		}
		f.c.(Clocks).SetClock(a, time.Duration(s.Size)*time.Second)
		if s.Size%4 != 0 {
			f.kill(a, detail)
			sleep(ctx, s.For)
			f.restart(a)
		} else {
			sleep(ctx, s.For)
			f.c.(Clocks).SetClock(a, 0)
		}
	case FullDisk:
		f.note(FullDisk, detail, a)
		f.c.(Disks).FullDisk(a, true)
		sleep(ctx, s.For)
		f.note("disk well", "", a)
		f.c.(Disks).FullDisk(a, false)
	default:
		panic(fmt.Sprintf("nemesis: no fault %q", s.Kind))
	}
}

func (f *faults) heal(ctx context.Context, after time.Duration) {
	sleep(ctx, after)
	f.rec.Fault("heal", "", "")
	f.c.Heal()
}

// delay slows down everything between a node and the other nodes.
func (f *faults) delay(i int, d time.Duration) {
	for _, other := range others(f.c.Nodes(), i) {
		f.c.Delay(i, other, d)
		f.c.Delay(other, i, d)
	}
}

// recover makes everything well again, and waits until all nodes serve.
func (f *faults) recover() {
	f.c.Heal()
	f.herd.disperse()
	for i := range f.c.Nodes() {
		f.c.AwaitServing(i)
	}
	if _, lossy := f.c.(Lossy); lossy { // a node that will be given up for it may not know yet
		time.Sleep(noticed)
		for i := range f.c.Nodes() {
			f.c.AwaitServing(i)
		}
	}
	f.rec.Calm()
}

// noticed is how long it takes at most until the loss of packets has had a node be given up.
const noticed = 6 * time.Second
