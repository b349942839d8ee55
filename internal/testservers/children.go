package testservers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// children returns the processes that a process has started and that have not ended.
func children(pid int) (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, file := range stats {
		var id int
		if _, err := fmt.Sscanf(file, "/proc/%d/stat", &id); err != nil {
			continue
		}
		if parent, lives := parentOf(id); lives && parent == pid {
			pids = append(pids, id)
		}
	}
	return pids
}

// parentOf returns who started a process; lives is false if it has ended, even if nobody has asked how.
func parentOf(pid int) (parent int, lives bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// pid (name) state parent …; the name may contain anything.
	var state string
	_, err = fmt.Sscan(string(text[strings.LastIndexByte(string(text), ')')+1:]), &state, &parent)
	return parent, err == nil && state != "Z" && state != "X"
}
