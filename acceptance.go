package shoal

import (
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// acceptance is the wait of one message for everybody who must have it before its publisher is told so: nodes that it
// was forwarded to, the journal, the agreed order. It begins with one count, which the router gives back last, so that
// it cannot complete early.
type acceptance struct {
	left atomic.Int32
	code atomic.Uint32 // the first reason code of failure, 0 for none
	// then is called once, on the goroutine of the last finish.
	then func(packets.ReasonCode)
	// delay is how long the publishers of a batch from another node are held back.
	delay time.Duration
}

func newAcceptance() *acceptance {
	a := new(acceptance)
	a.left.Store(1)
	return a
}

// begin gives back the router's count. then is called when all others are back, or at once.
func (a *acceptance) begin(then func(packets.ReasonCode)) {
	a.then = then
	a.finish(packets.Success)
}

// add is one more count.
func (a *acceptance) add() { a.left.Add(1) }

// finish gives back one count. code is Success or the reason for failure.
func (a *acceptance) finish(code packets.ReasonCode) {
	if code.IsError() {
		a.code.CompareAndSwap(0, uint32(code))
	}
	if a.left.Add(-1) == 0 {
		a.then(packets.ReasonCode(a.code.Load()))
	}
}
