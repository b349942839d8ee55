package clustertest

import (
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// folder is where a node keeps its data now.
func (c *Cluster) folder(n *Node) string {
	if n.folders == 0 {
		return filepath.Join(c.dir, n.Name)
	}
	return filepath.Join(c.dir, n.Name+"."+strconv.Itoa(n.folders))
}

// leaveFolder lets a node that was killed start at once. In this process the killed one still has its files open and locked, for two seconds and more, and a
// node that is back later than that is lost to the others before it returns. Nothing more is written to those files, so the new process gets a copy.
func (c *Cluster) leaveFolder(n *Node) {
	if n.dead == nil || c.dir == "" {
		return
	}
	time.Sleep(time.Millisecond) // what was being written when the node was killed is there, or is not
	old := c.folder(n)
	n.folders++
	if _, err := os.Stat(old); os.IsNotExist(err) {
		return
	}
	if err := os.CopyFS(c.folder(n), os.DirFS(old)); err != nil {
		c.t.Fatalf("clustertest: node %s: %v", n.Name, err)
	}
}
