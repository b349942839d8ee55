package peer

import "sync"

// failures tells what was forwarded to a lost node, or to one that has never been there, that it went nowhere: in the order in which it was forwarded,
// from one goroutine at a time, since who has sent it sends it elsewhere in that order.
type failures struct {
	mu   sync.Mutex
	list []failure
	busy bool
}

type failure struct {
	done func(error)
	err  error
}

// add queues failures. If nobody is at work on them, start gets what is to be run, on a goroutine or later by the caller. It returns false, with nothing
// queued, if start did.
func (f *failures) add(start func(run func()) bool, list ...failure) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.busy && !start(f.run) {
		return false
	}
	f.busy = true
	f.list = append(f.list, list...)
	return true
}

func (f *failures) run() {
	for {
		f.mu.Lock()
		list := f.list
		f.list = nil
		f.busy = len(list) > 0
		f.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, it := range list {
			it.done(it.err)
		}
	}
}
