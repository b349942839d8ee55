package shoal

import "slices"

// What gathers in a journal while its store fails grows with what there is, not with how often it changes: what later changes make void is taken out.

// compacted returns units without what is void in them. What is for one Space of a fenced store comes in the place of the first unit that is for it: a store
// writes Spaces in no particular order anyway. Units with notes keep their places, since notes have an order.
func compacted(units []storeUnit) []storeUnit {
	places := make(map[string]int)
	var merged []storeUnit
	for i := range units {
		u := &units[i]
		at, known := places[u.space]
		if !known || len(u.note) > 0 {
			places[u.space] = len(merged)
			merged = append(merged, *u)
			continue
		}
		m := &merged[at]
		switch c := u.fence.Compare(m.fence); {
		case c < 0: // void: the Space came here anew after it
		case c > 0:
			m.fence, m.ops, m.note = u.fence, u.ops, nil
		default:
			m.ops = append(m.ops[:len(m.ops):len(m.ops)], u.ops...)
		}
	}
	for i := range merged {
		m := &merged[i]
		m.ops = lastOf(m.ops)
		m.bytes = len(m.note) + sizeOf(m.ops)
	}
	return merged
}

// lastOf returns ops without those that later ones make void.
func lastOf(ops []Op) []Op {
	type place struct{ space, key string }
	later := make(map[place]struct{})
	dropped := make(map[string]struct{})
	var kept []Op
	for i := len(ops) - 1; i >= 0; i-- {
		op := &ops[i]
		if _, is := dropped[op.Space]; is {
			continue
		}
		if op.Key == nil {
			dropped[op.Space] = struct{}{}
			kept = append(kept, *op)
			continue
		}
		p := place{op.Space, string(op.Key)}
		if _, is := later[p]; !is {
			later[p] = struct{}{}
			kept = append(kept, *op)
		}
	}
	slices.Reverse(kept)
	return kept
}
