package shoal

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// applied returns what a store has after some changes.
func applied(ops []Op) map[string]map[string]string {
	state := make(map[string]map[string]string)
	for _, op := range ops {
		switch {
		case op.Key == nil:
			delete(state, op.Space)
		case op.Value == nil:
			delete(state[op.Space], string(op.Key))
		default:
			if state[op.Space] == nil {
				state[op.Space] = make(map[string]string)
			}
			state[op.Space][string(op.Key)] = string(op.Value)
		}
	}
	for space, entries := range state {
		if len(entries) == 0 {
			delete(state, space)
		}
	}
	return state
}

func someOps(r *rand.Rand, spaces, n int) (ops []Op) {
	for i := range n {
		op := Op{Space: "s" + strconv.Itoa(r.IntN(spaces))}
		switch r.IntN(10) {
		case 0:
		case 1, 2, 3:
			op.Key = []byte{byte('a' + r.IntN(5))}
		default:
			op.Key, op.Value = []byte{byte('a' + r.IntN(5))}, []byte(strconv.Itoa(i))
		}
		ops = append(ops, op)
	}
	return ops
}

// What is left of changes leads to the same state, from whatever state, and is no more than there are entries and Spaces.
func TestCompactedChangesLeadToTheSame(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		before, ops := someOps(r, 3, 20), someOps(r, 3, 60)
		left := lastOf(ops)
		all := func(ops []Op) []Op { return append(before[:len(before):len(before)], ops...) }
		require.Equal(t, applied(all(ops)), applied(all(left)), "seed %d", seed)
		require.LessOrEqual(t, len(left), 3*(5+1))
	}
}

// What goes to a store under Fences is the same after units were compacted: what is void stays void, and notes keep their order and their numbers.
func TestCompactedUnitsAreCommittedTheSame(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		var units []storeUnit
		for i := range 40 {
			u := storeUnit{number: uint64(i + 1), space: "s" + strconv.Itoa(r.IntN(3)), fence: Fence{Epoch: uint64(i/15 + r.IntN(2))}}
			for _, op := range someOps(r, 1, 1+r.IntN(3)) {
				op.Space = u.space
				u.ops = append(u.ops, op)
			}
			if r.IntN(4) == 0 {
				u.note = []byte{byte(i)}
			}
			units = append(units, u)
		}
		left := compacted(units)
		wantOps, wantFences := together(units)
		gotOps, gotFences := together(left)
		require.Equal(t, wantFences, gotFences, "seed %d", seed)
		require.Equal(t, applied(wantOps), applied(gotOps), "seed %d", seed)
		require.Equal(t, notesOf(units, wantFences), notesOf(left, gotFences), "seed %d", seed)
		for i := 1; i < len(left); i++ {
			require.Greater(t, left[i].number, left[i-1].number)
		}
	}
}
