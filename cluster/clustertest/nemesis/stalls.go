package nemesis

import "context"

// stalls does what a step says if that is that nodes stand still together, or the leader does. It returns whether it is.
func (f *faults) stalls(ctx context.Context, s Step, detail string) bool {
	var still []int
	switch s.Kind {
	case Pause:
		still = s.Nodes[:1]
	case PauseLeader:
		still = []int{f.leader(s.Nodes[0])}
	case PauseAll:
		still = s.Nodes
	default:
		return false
	}
	f.note(s.Kind, detail, still...)
	for _, i := range still {
		f.c.Pause(i)
	}
	sleep(ctx, s.For)
	f.note("resume", "", still...)
	for _, i := range still {
		f.c.Resume(i)
	}
	return true
}
