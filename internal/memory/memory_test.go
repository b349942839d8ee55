package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBudgetIsOverUntilThereIsRoomAgain(t *testing.T) {
	var used, garbage uint64
	collected := 0
	b := NewOf(1000, func() uint64 { return used + garbage }, func() { garbage = 0; collected++ })
	now := time.Unix(1000, 0)
	look := func(live, waste uint64) bool {
		now = now.Add(interval)
		used, garbage = live, waste
		b.look(now)
		return b.Over()
	}
	require.False(t, look(500, 300))
	require.Zero(t, collected)
	require.False(t, look(500, 450), "garbage is collected before anything is refused")
	require.Equal(t, 1, collected)
	require.True(t, look(500, 450), "the collector does not run all the time")
	now = now.Add(freeInterval)
	require.False(t, look(500, 450))
	require.True(t, look(900, 0))
	require.True(t, look(860, 0), "there must be some room before more is let in")
	require.False(t, look(840, 0))
	nowUsed, limit := b.Now()
	require.EqualValues(t, 840, nowUsed)
	require.EqualValues(t, 1000, limit)
}

func TestNoBudgetIsNeverUsedUp(t *testing.T) {
	b := New(0)
	require.Nil(t, b)
	require.False(t, b.Over())
	used, limit := b.Now()
	require.Zero(t, used+limit)
}

func TestBudgetWatchesUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Uint64
		used.Store(950)
		b := NewOf(1000, used.Load, func() {})
		ctx, cancel := context.WithCancel(t.Context())
		go b.Run(ctx)
		time.Sleep(interval)
		synctest.Wait()
		require.True(t, b.Over())
		used.Store(10)
		time.Sleep(2 * interval)
		synctest.Wait()
		require.False(t, b.Over())
		cancel()
	})
}

func TestUsedIsWhatTheProcessHas(t *testing.T) {
	debug.FreeOSMemory() // otherwise the block may take the place of garbage
	before := Used()
	block := make([]byte, 64<<20)
	for i := range block {
		block[i] = 1
	}
	require.Greater(t, Used(), before+32<<20)
	runtime.KeepAlive(block)
}

func TestContainerLimit(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for name, c := range map[string]struct {
		files fstest.MapFS
		limit int64
		from  string
	}{
		"none":         {fstest.MapFS{}, 0, ""},
		"no container": {fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("max\n")}, 0, ""},
		"version 2": {
			fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("536870912\n")},
			512 << 20, "/sys/fs/cgroup/memory.max",
		},
		"version 2, an outer group has less": {
			fstest.MapFS{
				"proc/self/cgroup": file("0::/system.slice/shoal.service\n"), "sys/fs/cgroup/system.slice/shoal.service/memory.max": file("2000000000"),
				"sys/fs/cgroup/system.slice/memory.max": file("1000000000"),
			},
			1_000_000_000, "/sys/fs/cgroup/system.slice/memory.max",
		},
		"version 2, seen from inside": {
			fstest.MapFS{"proc/self/cgroup": file("0::/docker/abc\n"), "sys/fs/cgroup/memory.max": file("1073741824")},
			1 << 30, "/sys/fs/cgroup/memory.max",
		},
		"version 1": {
			fstest.MapFS{
				"proc/self/cgroup":                                      file("11:cpu,cpuacct:/docker/abc\n7:memory:/docker/abc\n1:name=systemd:/docker/abc\n"),
				"sys/fs/cgroup/memory/memory.limit_in_bytes":            file("9223372036854771712"),
				"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": file("268435456"),
			},
			256 << 20, "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes",
		},
		"version 1 without a limit": {
			fstest.MapFS{"proc/self/cgroup": file("7:hugetlb,memory:/\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712")}, 0, "",
		},
		"a path that leaves": {
			fstest.MapFS{"proc/self/cgroup": file("0::/../../etc\nnonsense\n"), "sys/fs/cgroup/memory.max": file("1000")}, 1000, "/sys/fs/cgroup/memory.max",
		},
	} {
		t.Run(name, func(t *testing.T) {
			limit, from := ContainerLimit(c.files)
			require.Equal(t, c.limit, limit)
			require.Equal(t, c.from, from)
		})
	}
}
