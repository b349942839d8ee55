package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/shoalmq/shoal"
)

// ErrOvertaken is returned by a CommitFenced that reached the server after a later one for the same Space and Fence. Nothing of that Space was written.
var ErrOvertaken = errors.New("redis: overtaken by a later commit")

// fencedScript applies operations to one Space, if the caller may. KEYS are its sorted set, its hash, and the Fence it was written with last, followed by
// the number of that call. ARGV are the caller's Fence, the number of its call, for how many milliseconds the Fence of an empty Space is
// kept, and three for each operation. Fences and numbers are digits, as many always, so that they compare as strings.
const fencedScript = `
local order, entries, fence = KEYS[1], KEYS[2], KEYS[3]
local had = redis.call('GET', fence)
if had then
  local last = string.sub(had, 1, 40)
  if last > ARGV[1] then return 1 end
  if last == ARGV[1] and string.sub(had, 41) > ARGV[2] then return 2 end
end
local first = 4
` + applyOps + `
if redis.call('EXISTS', entries) == 1 then
  redis.call('SET', fence, ARGV[1] .. ARGV[2])
else
  redis.call('SET', fence, ARGV[1] .. ARGV[2], 'PX', ARGV[3])
end
return 0`

// What the script returns.
const (
	fenceKept  = 0
	fenceStale = 1
)

// CommitFenced implements shoal.FencedStorage. A call that is still under way when its caller has given it up is found out by its number when it arrives
// after a later one: ErrOvertaken, which nobody is there to see.
func (s *Store) CommitFenced(ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) (stale []string, err error) {
	client, err := s.use()
	if err != nil {
		return nil, fmt.Errorf("redis: commit: %w", err)
	}
	calls, err := s.collect(ops)
	if err != nil {
		return nil, fmt.Errorf("redis: commit: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("redis: commit: %w", err)
	}
	var plain []call
	var scripts []rueidis.LuaExec
	var spaces []string
	number, keep := digits(s.calls.Add(1)), strconv.FormatInt(shoal.FenceTime.Milliseconds(), 10)
	add := func(c call, f shoal.Fence) {
		order, entries := s.keys(c.space)
		fence := strings.TrimSuffix(order, orderSuffix) + ":fence"
		args := append([]string{digits(f.Epoch) + digits(f.Step), number, keep}, c.args...)
		scripts, spaces = append(scripts, rueidis.LuaExec{Keys: []string{order, entries, fence}, Args: args}), append(spaces, c.space)
	}
	left := maps.Clone(fences)
	for _, c := range calls {
		f, fenced := fences[c.space]
		if !fenced {
			plain = append(plain, c)
			continue
		}
		delete(left, c.space)
		add(c, f)
	}
	for _, space := range slices.Sorted(maps.Keys(left)) {
		if space == "" {
			return nil, errors.New("redis: commit: a fence for a space without a name")
		}
		add(call{space: space}, left[space])
	}
	if err := s.commit(ctx, client, plain); err != nil || len(scripts) == 0 {
		return nil, err
	}
	for i, result := range s.fenced.ExecMulti(ctx, client, scripts...) {
		code, err := result.AsInt64()
		switch {
		case err != nil:
			return nil, fmt.Errorf("redis: commit: space %q: %w", spaces[i], s.closedOr(err))
		case code == fenceStale:
			stale = append(stale, spaces[i])
		case code != fenceKept:
			return nil, fmt.Errorf("redis: commit: space %q: %w", spaces[i], ErrOvertaken)
		}
	}
	return stale, nil
}

// digits writes a number in a width that fits all of them.
func digits(n uint64) string { return fmt.Sprintf("%020d", n) }

// keysBatch is about how many keys the server looks at for one answer of Spaces.
const keysBatch = 1000

// Spaces implements shoal.FencedStorage. It looks at all keys of the database, whoever's they are, which takes about a second for each million.
func (s *Store) Spaces(ctx context.Context, prefix string, fn func(space string) error) error {
	client, err := s.use()
	if err != nil {
		return fmt.Errorf("redis: spaces: %w", err)
	}
	before := s.prefix + "{"
	pattern := glob(before+escape(prefix)) + "*" + glob("}"+orderSuffix)
	for addr, node := range client.Nodes() {
		if primary, err := isPrimary(ctx, node); err != nil {
			return fmt.Errorf("redis: spaces: server %s: %w", addr, s.closedOr(err))
		} else if !primary {
			continue
		}
		for cursor := uint64(0); ; {
			part, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(pattern).Count(keysBatch).Build()).AsScanEntry()
			if err != nil {
				return fmt.Errorf("redis: spaces: server %s: %w", addr, s.closedOr(err))
			}
			for _, key := range part.Elements {
				name := strings.TrimSuffix(strings.TrimPrefix(key, before), "}"+orderSuffix)
				if err := fn(unescape(name)); err != nil {
					return err
				}
			}
			if cursor = part.Cursor; cursor == 0 {
				break
			}
		}
	}
	return nil
}

func isPrimary(ctx context.Context, node rueidis.Client) (bool, error) {
	role, err := node.Do(ctx, node.B().Role().Build()).ToArray()
	if err != nil || len(role) == 0 {
		return false, err
	}
	name, err := role[0].ToString()
	return name == "master", err
}

// unescape undoes escape.
func unescape(name string) string {
	return strings.NewReplacer("%7d", "}", "%25", "%").Replace(name)
}

// glob keeps what would have a meaning in a pattern from having it.
func glob(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(text)
}
