package nemesis

import (
	"context"
	"time"
)

// restarts does what a step says if that is a restart that is quick, of a node or of the leader. It returns whether it is.
func (f *faults) restarts(ctx context.Context, s Step, a int, detail string) bool {
	switch s.Kind {
	case QuickRestart:
		f.back(ctx, a, detail, s.For)
	case KillLeader:
		f.back(ctx, f.leader(a), detail, s.For)
	case MovedRestart:
		f.moved(ctx, s, a, detail)
	case CrashLoop:
		f.crashLoop(ctx, s, a, detail)
	case Wipe:
		f.wipe(ctx, s, a, detail)
	default:
		return false
	}
	return true
}

// back kills a node and has it back after a while.
func (f *faults) back(ctx context.Context, node int, detail string, after time.Duration) {
	f.kill(node, detail)
	sleep(ctx, after)
	f.restart(node)
}

// leader returns the node that leads, or another if none does.
func (f *faults) leader(otherwise int) int {
	if leader := f.c.(Leaders).Leader(); leader >= 0 {
		return leader
	}
	return otherwise
}

const (
	// gathering is how long clients have to come to a node, elsewhere how long they stay away from it afterwards.
	gathering = 2 * time.Second
	elsewhere = 2 * time.Second
)

func (f *faults) moved(ctx context.Context, s Step, a int, detail string) {
	f.note("gather", detail, a)
	f.herd.gather(a)
	sleep(ctx, gathering+time.Duration(s.Size)*time.Millisecond)
	f.herd.scatter(a)
	f.back(ctx, a, detail, s.For)
	sleep(ctx, elsewhere)
	f.herd.disperse()
}

// crashLoop lets a node run for none, one, two or three times as long as it is down.
func (f *faults) crashLoop(ctx context.Context, s Step, a int, detail string) {
	for i := range s.Size {
		f.kill(a, detail)
		sleep(ctx, s.For)
		f.note("start", "", a)
		f.c.StartAgain(a)
		sleep(ctx, time.Duration(i%4)*s.For)
	}
	f.c.AwaitServing(a)
}

func (f *faults) wipe(ctx context.Context, s Step, a int, detail string) {
	if s.For%2 == 0 {
		f.kill(a, detail)
	} else {
		f.note(Wipe, detail, a)
		f.c.Stop(a)
	}
	sleep(ctx, s.For)
	f.note(Wipe, "", a)
	f.c.(Wiper).Wipe(a)
	f.restart(a)
}
