package shoal

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// storePhase is what a journal knows of its store.
type storePhase uint32

const (
	storeWorks   storePhase = iota // the last commit succeeded
	storeFails                     // it failed, and none has succeeded since; whoever waits for the store goes on waiting
	storeRefuses                   // that has lasted for too long: what would have to be kept is refused, and nobody waits
)

const (
	// storePatience is how long messages and CONNECTs wait for a store that all nodes share and that has gone away before they are refused.
	storePatience = 5 * time.Second
	// The pause after a commit that failed grows from storeRetry to storeRetryMost. A store that fails again within storeCalm after it has
	// recovered goes on where it was, so that one that fails now and then is neither tried nor told of all the time.
	storeRetry     = 200 * time.Millisecond
	storeRetryMost = time.Second
	storeCalm      = 10 * time.Second
)

var errStoreHangs = errors.New("the commit has not returned in time")

// storeHealth follows the phases of a store. The journal that has it calls all methods under its own lock, but for those that only ask.
type storeHealth struct {
	log      *slog.Logger
	patience time.Duration // from the first failure until what must be kept is refused

	phase   atomic.Uint32
	refused atomic.Uint64 // messages, since the failure began

	since     time.Time     // when it began; zero while the store works
	recovered time.Time     // when the last one was over
	pause     time.Duration // before the next try
	tries     int
	expiry    *time.Timer // ends patience
}

// fails reports whether the last commit failed.
func (h *storeHealth) fails() bool { return storePhase(h.phase.Load()) != storeWorks }

// refuses reports whether what would have to be kept is to be refused.
func (h *storeHealth) refuses() bool { return storePhase(h.phase.Load()) == storeRefuses }

// failed notes a commit that failed, and when it had begun. expired is called when patience is at its end. What it returns logs the failure, if it is the
// first, and is called without the lock.
func (h *storeHealth) failed(began time.Time, err error, expired func()) (tell func()) {
	h.tries++
	if !h.since.IsZero() {
		h.pause = min(2*h.pause, storeRetryMost)
		if time.Since(h.since) >= h.patience {
			h.phase.Store(uint32(storeRefuses))
		}
		return func() {}
	}
	if h.since = began; time.Since(h.recovered) > storeCalm {
		h.pause = storeRetry
	}
	h.phase.Store(uint32(storeFails))
	if left := h.patience - time.Since(began); left > 0 {
		h.expiry = time.AfterFunc(left, expired)
	} else {
		h.phase.Store(uint32(storeRefuses))
	}
	patience := h.patience
	return func() {
		h.log.Error("the store fails; what would have to be kept is refused once the patience is over, until that ends",
			"patience", patience, "error", err)
	}
}

// refuse ends patience. It reports whether the store fails at all.
func (h *storeHealth) refuse() bool {
	if h.since.IsZero() {
		return false
	}
	h.phase.Store(uint32(storeRefuses))
	return true
}

// works notes a commit that succeeded. What it returns logs the end of a failure, and is called without the lock.
func (h *storeHealth) works() (tell func()) {
	if h.since.IsZero() {
		return func() {}
	}
	h.stop()
	lasted, tries, refused := time.Since(h.since).Round(time.Millisecond), h.tries, h.refused.Swap(0)
	h.since, h.recovered, h.tries = time.Time{}, time.Now(), 0
	h.phase.Store(uint32(storeWorks))
	return func() {
		h.log.Info("the store works again", "failed_for", lasted, "tries", tries, "refused", refused)
	}
}

func (h *storeHealth) stop() {
	if h.expiry != nil {
		h.expiry.Stop()
		h.expiry = nil
	}
}
