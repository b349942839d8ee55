package nemesis

import "context"

// stores does what a step says if it happens to the store that all nodes share. It returns whether it does.
func (f *faults) stores(ctx context.Context, s Step, detail string) bool {
	switch s.Kind {
	case StoreCrash, StoreStall, StoreEmpty, StoreFull:
	default:
		return false
	}
	store := f.c.(Stores)
	f.rec.Fault(string(s.Kind), "", detail)
	switch s.Kind {
	case StoreCrash:
		store.CrashStore()
		sleep(ctx, s.For)
		store.StoreBack()
	case StoreStall:
		store.StallStore(true)
		sleep(ctx, s.For)
		store.StallStore(false)
	case StoreEmpty:
		store.EmptyStore()
	case StoreFull:
		store.FillStore(true)
		sleep(ctx, s.For)
		store.FillStore(false)
	}
	f.rec.Fault("store well", "", "")
	return true
}
