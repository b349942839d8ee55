package storagetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

func testPutDelete(t *testing.T, s suite) {
	st := s.new(t)
	commit(t, st) // of nothing
	commit(t, st, put("s", "a", "1"), put("s", "b", "2"))
	requirePairs(t, []pair{{"a", "1"}, {"b", "2"}}, scan(t, st, "s", nil), "put")
	commit(t, st, put("s", "a", "longer than before"))
	requirePairs(t, []pair{{"a", "longer than before"}, {"b", "2"}}, scan(t, st, "s", nil), "put again")
	commit(t, st, del("s", "a"))
	requirePairs(t, []pair{{"b", "2"}}, scan(t, st, "s", nil), "delete")
	commit(t, st, del("s", "a"), del("s", "never"), del("unknown", "a"))
	requirePairs(t, []pair{{"b", "2"}}, scan(t, st, "s", nil), "delete what is not there")
	commit(t, st, del("s", "b"))
	requirePairs(t, nil, scan(t, st, "s", nil), "delete the last")
	commit(t, st, put("s", "c", "3"))
	requirePairs(t, []pair{{"c", "3"}}, scan(t, st, "s", nil), "put after the last was deleted")
}

func testDeleteSpace(t *testing.T, s suite) {
	st := s.new(t)
	commit(t, st, drop("unknown"))
	commit(t, st, put("other", "1", "stays"), put("other", "2", "stays"), put("other", "3", "stays"))
	var ops []shoal.Op
	for i := range 3000 {
		ops = append(ops, put("s", fmt.Sprintf("%04d", i), "goes"))
	}
	commit(t, st, ops...)
	require.Len(t, scan(t, st, "s", nil), 3000)
	commit(t, st, drop("s"))
	requirePairs(t, nil, scan(t, st, "s", nil), "deleted Space")
	require.Len(t, scan(t, st, "other", nil), 3)
	commit(t, st, put("s", "new", "1"))
	requirePairs(t, []pair{{"new", "1"}}, scan(t, st, "s", nil), "a Space made anew")
}

func testOrderOfOps(t *testing.T, s suite) {
	st := s.new(t)
	commit(t, st, put("s", "a", "1"), del("s", "a"), put("s", "a", "2"), put("s", "a", "3"))
	requirePairs(t, []pair{{"a", "3"}}, scan(t, st, "s", nil), "the last put counts")
	commit(t, st, put("s", "b", "1"), del("s", "b"))
	requirePairs(t, []pair{{"a", "3"}}, scan(t, st, "s", nil), "put, then deleted")
	commit(t, st, put("s", "c", "1"), drop("s"), put("s", "d", "1"))
	requirePairs(t, []pair{{"d", "1"}}, scan(t, st, "s", nil), "dropped between puts")
	commit(t, st, drop("s"), put("s", "e", "1"), put("r", "e", "1"), drop("s"), del("s", "e"), del("r", "x"))
	requirePairs(t, nil, scan(t, st, "s", nil), "dropped in the end")
	requirePairs(t, []pair{{"e", "1"}}, scan(t, st, "r", nil), "another Space in between")
}

func testEmptyValue(t *testing.T, s suite) {
	st := s.new(t)
	commit(t, st, put("s", "a", ""), put("s", "b", "1"), put("s", "c", "1"))
	commit(t, st, put("s", "b", ""))
	// scan insists on values that are not nil.
	requirePairs(t, []pair{{"a", ""}, {"b", ""}, {"c", "1"}}, scan(t, st, "s", nil), "empty values")
	commit(t, st, del("s", "a"))
	requirePairs(t, []pair{{"b", ""}, {"c", "1"}}, scan(t, st, "s", nil), "an empty value deleted")
}

func testRefused(t *testing.T, s suite) {
	st := s.new(t)
	commit(t, st, put("refused-space", "old", "1"))
	for name, op := range map[string]shoal.Op{
		"empty key, with a value":   {Space: "refused-space", Key: []byte{}, Value: []byte("v")},
		"empty key, no value":       {Space: "refused-space", Key: []byte{}},
		"value without a key":       {Space: "refused-space", Value: []byte("v")},
		"empty value without a key": {Space: "refused-space", Value: []byte{}},
	} {
		err := st.Commit(t.Context(), []shoal.Op{put("refused-space", "new", "1"), del("refused-space", "old"), op})
		require.Error(t, err, name)
		require.ErrorContains(t, err, "refused-space", "%s: the error must name the Space", name)
		requirePairs(t, []pair{{"old", "1"}}, scan(t, st, "refused-space", nil), name)
	}
	commit(t, st, put("refused-space", "new", "1"))
	require.Len(t, scan(t, st, "refused-space", nil), 2, "the Storage must go on working")
}

func testRepeated(t *testing.T, s suite) {
	st := s.new(t)
	commit(t, st, put("s", "x", "1"), put("s", "y", "1"))
	ops := []shoal.Op{put("s", "a", "1"), del("s", "x"), drop("r"), put("r", "a", "1")}
	for range 3 { // as after an error
		commit(t, st, ops...)
		requirePairs(t, []pair{{"a", "1"}, {"y", "1"}}, scan(t, st, "s", nil), "repeated")
		requirePairs(t, []pair{{"a", "1"}}, scan(t, st, "r", nil), "repeated")
	}
}

func testCallersSlices(t *testing.T, s suite) {
	st := s.new(t)
	key, value := []byte("key-1"), []byte("value-1")
	ops := []shoal.Op{{Space: "s", Key: key, Value: value}}
	for i := range 5 { // the caller uses all slices again
		key[4], value[6] = byte('1'+i), byte('1'+i)
		ops[0] = shoal.Op{Space: "s", Key: key, Value: value}
		commit(t, st, ops...)
		require.Equal(t, shoal.Op{Space: "s", Key: key, Value: value}, ops[0], "Commit changed the caller's op")
		require.Equal(t, fmt.Sprintf("key-%d value-%d", i+1, i+1), string(key)+" "+string(value), "Commit wrote to the caller's slices")
		clear(ops)
	}
	copy(key, "zzzzz")
	copy(value, "zzzzzzz")
	want := []pair{{"key-1", "value-1"}, {"key-2", "value-2"}, {"key-3", "value-3"}, {"key-4", "value-4"}, {"key-5", "value-5"}}
	requirePairs(t, want, scan(t, st, "s", nil), "slices used again")
}

func testBigBatch(t *testing.T, s suite) {
	st := s.new(t)
	const n = 10_000
	var ops []shoal.Op
	want := make([]pair, n)
	for i := range n { // not in order, and over ten Spaces in turn
		k := i * 7919 % n
		want[k] = pair{fmt.Sprintf("%05d", k), fmt.Sprint(i)}
		ops = append(ops, put(fmt.Sprint("s", k/1000), want[k].key, want[k].value))
	}
	commit(t, st, ops...)
	for i := range 10 {
		requirePairs(t, want[i*1000:(i+1)*1000], scan(t, st, fmt.Sprint("s", i), nil), "10,000 ops")
	}
	for i := range ops {
		ops[i].Value = nil
	}
	commit(t, st, ops...)
	for i := range 10 {
		requirePairs(t, nil, scan(t, st, fmt.Sprint("s", i), nil), "10,000 deletes")
	}
}

func testBigValues(t *testing.T, s suite) {
	st := s.new(t)
	var want []pair
	var ops []shoal.Op
	for i := range 5 {
		p := pair{fmt.Sprint(i), string(bytes.Repeat([]byte{byte(i), 0xff, 'x', 0}, 1<<18+i))}
		want = append(want, p)
		ops = append(ops, put("s", p.key, p.value))
	}
	commit(t, st, ops...)
	requirePairs(t, want, scan(t, st, "s", nil), "values of 1 MB")
	commit(t, st, put("s", "1", "small"), del("s", "3"))
	want[1].value = "small"
	requirePairs(t, slices.Delete(want, 3, 4), scan(t, st, "s", nil), "changed")
}

// longText is more than the longest TopicName or ClientID with what a broker puts in front.
const longText = 65_600

func testLongKeys(t *testing.T, s suite) {
	st := s.new(t)
	long := strings.Repeat("level/", longText/6+1)[:longText-1]
	var keys []string
	for _, n := range []int{1, 255, 256, 1000, 1024, 4096, 31_999, 32_000, 32_001, 32_767, 32_768, 32_769, 63_999, 64_000, 65_000, 65_535, longText - 1} {
		keys = append(keys, long[:n], long[:n]+"!", long[:n]+"\x00", long[:n]+"\xff")
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	var want []pair
	var ops []shoal.Op
	for i, k := range keys {
		want = append(want, pair{k, fmt.Sprint(i)})
		ops = append(ops, put("s", k, fmt.Sprint(i)))
	}
	slices.Reverse(ops)
	commit(t, st, ops...)
	requirePairs(t, want, scan(t, st, "s", nil), "long keys")
	for i, k := range keys {
		requirePairs(t, want[i:], scan(t, st, "s", []byte(k)), fmt.Sprint("from a key of ", len(k)))
		requirePairs(t, want[i+1:], scan(t, st, "s", []byte(k+"\x00")), fmt.Sprint("from behind a key of ", len(k)))
	}
	for i := range keys { // every other one
		if i%2 == 0 {
			commit(t, st, del("s", keys[i]))
		}
	}
	var left []pair
	for i := range want {
		if i%2 == 1 {
			left = append(left, want[i])
		}
	}
	requirePairs(t, left, scan(t, st, "s", nil), "long keys deleted")
	commit(t, st, drop("s"))
	requirePairs(t, nil, scan(t, st, "s", nil), "Space of long keys deleted")
}

func testLongSpaces(t *testing.T, s suite) {
	st := s.new(t)
	long := strings.Repeat("client", longText/6+1)[:longText-1]
	var spaces []string
	for _, n := range []int{1, 255, 256, 1023, 1024, 1025, 32_768, 65_535, longText - 1} {
		spaces = append(spaces, long[:n], long[:n]+"!")
	}
	for i, space := range spaces {
		commit(t, st, put(space, "k", fmt.Sprint(i)))
	}
	for i, space := range spaces {
		requirePairs(t, []pair{{"k", fmt.Sprint(i)}}, scan(t, st, space, nil), fmt.Sprint("Space of ", len(space)))
		commit(t, st, drop(space))
		requirePairs(t, nil, scan(t, st, space, nil), fmt.Sprint("Space of ", len(space), " deleted"))
	}
}

func testSpacesApart(t *testing.T, s suite) {
	st := s.new(t)
	spaces := []string{
		"s", "s/", "s/1", "s/10", "s:1", "s*", "s?", "{s}", "s[1]", "S", "s ", " ", "\x00", "s\x00", "s\xff", "ü", "..", "%s", "'", "-- ",
	}
	for i, space := range spaces {
		commit(t, st, put(space, "k", fmt.Sprint(i)), put(space, "1k", fmt.Sprint(i)))
	}
	for i, space := range spaces {
		requirePairs(t, []pair{{"1k", fmt.Sprint(i)}, {"k", fmt.Sprint(i)}}, scan(t, st, space, nil), fmt.Sprintf("Space %q", space))
	}
	for i, space := range spaces {
		commit(t, st, drop(space))
		requirePairs(t, nil, scan(t, st, space, nil), fmt.Sprintf("Space %q deleted", space))
		for j, other := range spaces[i+1:] {
			require.Len(t, scan(t, st, other, nil), 2, "%q (%d) after %q was deleted", other, i+1+j, space)
		}
	}
}
