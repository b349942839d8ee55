package testservers

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// listens reports whether a process itself listens on a port. known is false where the system does
// not say so.
func listens(pid, port int) (yes, known bool) {
	if runtime.GOOS != "linux" {
		return false, false
	}
	inodes := make(map[string]bool)
	for _, table := range []string{"tcp", "tcp6"} {
		// By way of the process: a thread of this one may have gone to another network namespace.
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		suffix := fmt.Sprintf(":%04X", port)
		for s := bufio.NewScanner(f); s.Scan(); {
			// sl local_address rem_address st … inode
			if row := strings.Fields(s.Text()); len(row) > 9 && strings.HasSuffix(row[1], suffix) && row[3] == "0A" {
				inodes["socket:["+row[9]+"]"] = true
			}
		}
		_ = f.Close()
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrPermission) {
		return false, false // it belongs to somebody else
	}
	for _, file := range files { // none if the process has ended
		if link, err := os.Readlink(filepath.Join(dir, file.Name())); err == nil && inodes[link] {
			return true, true
		}
	}
	return false, true
}
