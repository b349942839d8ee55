package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// A node that finds damage in its Dir may have lost what it has answered for, or for whom it has voted. It puts everything aside, and begins as a node that
// has nothing, but for the term and the identity of its cluster if it knows them. The others send it everything again. Until they have, it neither votes nor
// stands for election: an entry that it had, and one other node, is not lost by its vote for a node that never had it.
//
// It does not begin so if the only voter that it knows is itself: nobody could send it anything.

const (
	// asideDir is where damaged files are put. It has those of the last damage.
	asideDir = "damaged"
	// rebuildFile is there while a node is being rebuilt, over restarts, too. It says so to whoever reads it.
	rebuildFile = "REBUILD"
)

// damage is something on the disk that is not what was written there.
type damage struct{ file, what string }

func (d *damage) Error() string { return fmt.Sprintf("%s is damaged: %s", d.file, d.what) }

// ErrDamaged is what starting a node fails with whose data is damaged and that no other node can send it again.
var ErrDamaged = errors.New("raftlog: damaged data, and no other node has it")

// rebuilding reports whether the node whose files are in dir has not got everything back yet.
func rebuilding(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, rebuildFile))
	return err == nil
}

// rebuilt ends that.
func rebuilt(dir string) error {
	if err := os.Remove(filepath.Join(dir, rebuildFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

const rebuildText = `Data in this directory was damaged:
%s
It is in the directory "damaged" now. This node gets everything from the other nodes of its cluster, and does not vote before it has;
then it removes this file. If too few of the others are left to decide without this node's vote, and none of them can be brought back,
stop this node, delete this file, and start the node again: it votes then when it has heard of no leader for ten seconds. What only this
node and a node that is lost have known is lost with that.
`

// setAside puts what is in dir aside, but for what is needed to be rebuilt. v is nil if the votes are damaged.
func setAside(dir string, v *votes, d *damage) error {
	if soleVoter(dir) {
		return fmt.Errorf("%w: %w; restore %s from a backup, or empty it to begin with nothing", ErrDamaged, d, dir)
	}
	text := fmt.Sprintf(rebuildText, d)
	if err := writeDurably(filepath.Join(dir, rebuildFile), []byte(text)); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, asideDir)); err != nil {
		return err
	}
	for _, name := range []string{logDir, snapshotsDir, votesFile, oldVotesFile} {
		if name == votesFile && v != nil {
			continue
		}
		if err := moveAside(dir, name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if v != nil {
		if err := v.lower(0); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// moveAside moves a file, named by the directories that it is in and itself, to where damaged files are.
func moveAside(dir string, name ...string) error {
	from, to := dir, filepath.Join(dir, asideDir)
	for i, n := range name {
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		from, to = filepath.Join(from, n), filepath.Join(to, n)
		if i == len(name)-1 {
			return os.Rename(from, to)
		}
	}
	return nil
}

func writeDurably(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// soleVoter reports whether the last configuration that can be read in dir has one voter.
func soleVoter(dir string) bool {
	var last raft.Configuration
	at := uint64(0)
	files, _ := segmentFiles(filepath.Join(dir, logDir)) // what cannot be read says nothing
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(dir, logDir, name))
		if err != nil {
			continue
		}
		// The indexes behind damage are not known, but their order is.
		for next := findRecord(b); next >= 0; {
			n, _ := checkRecord(b[next:]) // it was found
			var log raft.Log
			if readLogRecord(b[next+recordHeader:next+n], &log) == nil && log.Type == raft.LogConfiguration {
				last, at = decodeConfiguration(log.Data, last), max(at, 1)
			}
			b = b[next+n:]
			next = findRecord(b)
		}
	}
	if at == 0 {
		last = snapshotConfiguration(dir)
	}
	return countVoters(last.Servers) == 1
}

// decodeConfiguration returns what is otherwise if an entry does not hold a configuration: raft panics at what it does not understand.
func decodeConfiguration(b []byte, otherwise raft.Configuration) (c raft.Configuration) {
	defer func() {
		if recover() != nil {
			c = otherwise
		}
	}()
	return raft.DecodeConfiguration(b)
}

// asDamage returns the damage that an error is about, nil for another error.
func asDamage(err error) *damage {
	var d *damage
	errors.As(err, &d)
	return d
}
