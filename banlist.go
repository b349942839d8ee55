package shoal

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// banKey names whom a ban is about.
type banKey struct {
	kind byte // one of banForClient and its neighbours
	name string
	addr netip.Prefix
}

func (ban *Ban) key() banKey {
	switch {
	case ban.ClientID != "":
		return banKey{kind: banForClient, name: ban.ClientID}
	case ban.Principal != "":
		return banKey{kind: banForUser, name: ban.Principal}
	}
	return banKey{kind: banForRange, addr: ban.Address}
}

// The kinds of bans, as they are stored, too.
const (
	banForClient byte = 'c'
	banForUser   byte = 'p'
	banForRange  byte = 'a'
)

// bans are all bans.
type bans struct {
	mu   sync.RWMutex
	all  map[banKey]Ban
	bits map[int]int // how many there are for prefixes of each length; negative ones are of IPv4
}

// change makes or lifts a ban. It returns those it has removed because they had ended, to make room.
func (l *bans) change(ban Ban, lift bool, now time.Time) (found bool, swept []Ban, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := ban.key()
	old, found := l.all[key]
	if lift {
		l.remove(key)
		return found && old.active(now), nil, nil
	}
	if !found && len(l.all) >= maxBans {
		for k, b := range l.all {
			if !b.active(now) {
				swept = append(swept, b)
				l.remove(k)
			}
		}
		if len(l.all) >= maxBans {
			return false, swept, &Error{ReasonCode: packets.QuotaExceeded, Reason: "there are as many bans as the server keeps; lift some, or ban ranges of addresses"}
		}
	}
	l.remove(key)
	l.add(key, ban)
	return found, swept, nil
}

// remove forgets a ban. The caller holds l.mu.
func (l *bans) remove(key banKey) {
	if _, found := l.all[key]; !found {
		return
	}
	delete(l.all, key)
	if key.kind != banForRange {
		return
	}
	n := lengthOf(key.addr)
	if l.bits[n]--; l.bits[n] == 0 {
		delete(l.bits, n)
	}
}

func lengthOf(p netip.Prefix) int {
	if p.Addr().Is4() {
		return -1 - p.Bits()
	}
	return p.Bits()
}

// put adds what is known to fit.
func (l *bans) put(ban Ban) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := ban.key()
	l.remove(key)
	l.add(key, ban)
}

// add adds a ban. The caller holds l.mu.
func (l *bans) add(key banKey, ban Ban) {
	if l.all == nil {
		l.all, l.bits = make(map[banKey]Ban), make(map[int]int)
	}
	l.all[key] = ban
	if key.kind == banForRange {
		l.bits[lengthOf(key.addr)]++
	}
}

// whole returns all bans, also those that have ended, which are forgotten in the agreed order only.
func (l *bans) whole() []Ban {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Collect(maps.Values(l.all))
}

func (l *bans) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all, l.bits = nil, nil
}

// find returns the ban, if any, that is about one of these; empty names and an invalid address are about nobody.
func (l *bans) find(clientID, principal string, addr netip.Addr, now time.Time) *Ban {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.all) == 0 {
		return nil
	}
	look := func(key banKey) *Ban {
		if b, ok := l.all[key]; ok && b.active(now) {
			return &b
		}
		return nil
	}
	if b := look(banKey{kind: banForClient, name: clientID}); b != nil {
		return b
	}
	if b := look(banKey{kind: banForUser, name: principal}); b != nil {
		return b
	}
	for n := range l.bits {
		if (n < 0) != addr.Is4() || !addr.IsValid() {
			continue
		}
		p, err := addr.Prefix(max(n, -1-n))
		if err != nil {
			continue
		}
		if b := look(banKey{kind: banForRange, addr: p}); b != nil {
			return b
		}
	}
	return nil
}

// list returns the bans that hold, in a fixed order.
func (l *bans) list(now time.Time) []Ban {
	l.mu.RLock()
	list := make([]Ban, 0, len(l.all))
	for _, b := range l.all {
		if b.active(now) {
			list = append(list, b)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(list, func(x, y Ban) int {
		return cmp.Or(cmp.Compare(x.ClientID, y.ClientID), cmp.Compare(x.Principal, y.Principal), x.Address.Addr().Compare(y.Address.Addr()),
			cmp.Compare(x.Address.Bits(), y.Address.Bits()))
	})
	return list
}
