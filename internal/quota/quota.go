// Package quota counts what is taken of several kinds of things, by everybody together and by parts of everybody, and
// refuses what would be too much. It takes no lock to count: its numbers are right at any time, and a limit is never passed
// by those who Take.
package quota

import (
	"sync"
	"sync/atomic"
)

// Kind is what is counted.
type Kind int

// The kinds.
const (
	Sessions Kind = iota
	Subscriptions
	QueuedBytes
	RetainedMessages
	RetainedBytes
	Kinds int = iota
)

var names = [Kinds]string{"sessions", "subscriptions", "queued_bytes", "retained_messages", "retained_bytes"}

// String returns the name that metrics have.
func (k Kind) String() string { return names[k] }

// Limits are the most of each kind; 0 is no limit.
type Limits [Kinds]int64

// Any reports whether there is a limit at all.
func (l Limits) Any() bool { return l != Limits{} }

// Account counts what somebody has taken. What it counts, the account that it is part of counts, too.
type Account struct {
	whole   *Account // nil for that of everybody
	name    string
	limits  Limits
	used    [Kinds]atomic.Int64
	refused [Kinds]atomic.Uint64
	users   int // guarded by Book.mu
}

// Take takes n of a kind, or, if that is more than there may be, nothing.
func (a *Account) Take(k Kind, n int64) bool {
	for at := a; at != nil; at = at.whole {
		if now := at.used[k].Add(n); n > 0 && at.limits[k] > 0 && now > at.limits[k] {
			for back := a; back != at.whole; back = back.whole {
				back.used[k].Add(-n)
			}
			a.Refuse(k)
			return false
		}
	}
	return true
}

// Add takes n of a kind whatever the limits say: it is there already. n is negative to give back.
func (a *Account) Add(k Kind, n int64) {
	for ; a != nil; a = a.whole {
		a.used[k].Add(n)
	}
}

// Room reports whether Take would succeed now.
func (a *Account) Room(k Kind, n int64) bool {
	for ; a != nil; a = a.whole {
		if a.limits[k] > 0 && a.used[k].Load()+n > a.limits[k] {
			return false
		}
	}
	return true
}

// Refuse counts something that was refused, as Take does, after Room had said that there was none.
func (a *Account) Refuse(k Kind) {
	for ; a != nil; a = a.whole {
		a.refused[k].Add(1)
	}
}

// Used returns what is taken of a kind.
func (a *Account) Used(k Kind) int64 { return a.used[k].Load() }

// Refused returns how often it was too much.
func (a *Account) Refused(k Kind) uint64 { return a.refused[k].Load() }

// Book has the account of everybody, and those of the parts that somebody uses.
type Book struct {
	Whole Account
	part  Limits

	mu    sync.Mutex
	parts map[string]*Account
}

// Init sets the limits of everybody together, and of each part.
func (b *Book) Init(whole, part Limits) {
	b.Whole.limits, b.part = whole, part
	b.parts = make(map[string]*Account)
}

// Open returns the account of a part, until it is closed as often as it was opened; of nobody in particular for "".
func (b *Book) Open(name string) *Account {
	if name == "" {
		return &b.Whole
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.parts[name]
	if a == nil {
		a = &Account{whole: &b.Whole, name: name, limits: b.part}
		b.parts[name] = a
	}
	a.users++
	return a
}

// Close ends what Open began. What the account counts must have been given back.
func (b *Book) Close(a *Account) {
	if a == &b.Whole {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.users--; a.users == 0 {
		delete(b.parts, a.name)
	}
}

// Parts returns how many parts have accounts.
func (b *Book) Parts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.parts)
}
