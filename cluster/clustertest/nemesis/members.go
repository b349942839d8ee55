package nemesis

import (
	"context"
	"time"
)

// members does what a step says if nodes join and leave. It returns whether they do.
func (f *faults) members(ctx context.Context, s Step, a int, detail string) bool {
	switch s.Kind {
	case Replace:
		f.replace(ctx, []int{a}, Farewell(s.Size), s.For, detail)
	case ReplaceAll:
		f.replace(ctx, s.Nodes, Farewell(s.Size), s.For, detail)
	case Resize:
		f.resize(ctx, a, Farewell(s.Size), s.For, detail)
	default:
		return false
	}
	return true
}

func (f *faults) replace(ctx context.Context, nodes []int, how Farewell, pause time.Duration, detail string) {
	for _, i := range nodes {
		f.note(Replace, detail, i)
		f.c.(Replacer).Replace(i, how)
		f.note("replaced", "", i)
		f.allServe()
		sleep(ctx, pause)
	}
}

// resize makes the cluster one of two nodes more, and one of as many as before, which must then survive the loss of a node.
func (f *faults) resize(ctx context.Context, a int, how Farewell, pause time.Duration, detail string) {
	for range 2 {
		f.note(Resize, detail, a)
		f.c.(Replacer).Grow()
	}
	sleep(ctx, pause)
	for range 2 {
		f.note(Resize, "shrink", a)
		f.c.(Replacer).Shrink(how)
	}
	f.allServe()
	f.kill(a, detail)
	sleep(ctx, pause)
	for _, i := range others(f.c.Nodes(), a) {
		f.c.AwaitServing(i)
	}
	f.restart(a)
}

func (f *faults) allServe() {
	for i := range f.c.Nodes() {
		f.c.AwaitServing(i)
	}
}
