package bolt

import (
	"fmt"
	"runtime/debug"
)

// guard runs fn, which calls bbolt, and makes an error of a panic. bbolt panics when a page is not what it should be,
// and a file that is shorter than its pages say is a memory fault. After that the store stays failed, because bbolt may
// not have released its locks.
//
// No function of a caller of this package runs below guard: their panics are theirs.
func (s *Store) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // for this goroutine
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
			s.mu.Lock()
			s.failed = err
			s.mu.Unlock()
		}
	}()
	return fn()
}
