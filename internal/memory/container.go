package memory

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// ContainerLimit returns how many bytes the control groups of the process let it have, and which file says so; 0 if none
// does. root is the file system's root.
func ContainerLimit(root fs.FS) (limit int64, file string) {
	read := func(name string) string {
		b, err := fs.ReadFile(root, name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	limit = math.MaxInt64
	look := func(base, group, name string) {
		// A group can have no more than those it is in. In a container they are not all to be seen, and the group's own is the base.
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			file1 := path.Join(base, group, name)
			if n, err := strconv.ParseInt(read(file1), 10, 64); err == nil && n > 0 && n < limit && n < noLimit {
				limit, file = n, "/"+file1
			}
			if group == "/" {
				return
			}
		}
	}
	for line := range strings.Lines(read("proc/self/cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[0] == "0" && parts[1] == "": // version 2
			look("sys/fs/cgroup", parts[2], "memory.max")
		case hasController(parts[1], "memory"): // version 1
			look("sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
		}
	}
	if file == "" {
		return 0, ""
	}
	return limit, file
}

// noLimit is less than what version 1 says where there is no limit: a page less than all that a number can hold.
const noLimit = 1 << 60

func hasController(list, name string) bool {
	for c := range strings.SplitSeq(list, ",") {
		if c == name {
			return true
		}
	}
	return false
}
