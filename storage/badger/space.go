package badger

import (
	"fmt"

	"github.com/shoalmq/shoal"
)

// checkSpace refuses a Commit for which the disk has no room. It asks the system once in a while, and for each Commit when little is
// left.
func (s *Store) checkSpace(ops []shoal.Op) error {
	need := uint64(0)
	for i := range ops {
		const overhead = 64
		need += uint64(len(ops[i].Space) + len(ops[i].Key) + len(ops[i].Value) + overhead)
	}
	need *= 2 // in a journal first
	if need < s.reserved {
		s.reserved -= need
		return nil
	}
	free, err := s.options.free(s.dir)
	if err != nil {
		return err
	}
	if want := s.options.reserve + need; free < want {
		s.reserved = 0
		return fmt.Errorf("%w: %d MiB are free, and %d MiB are needed; make room, or set WithReserve", ErrDiskFull, free>>20, want>>20)
	}
	const between = 1 << 20 // others write to the disk, too
	s.reserved = between
	return nil
}
