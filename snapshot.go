package shoal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A snapshot is a stream of records, each behind its length, and an empty one at the end, by which a torn snapshot is told from a whole one.

const maxSnapshotRecord = 1 << 30

type snapshotWriter struct {
	w   *bufio.Writer
	err error
}

func newSnapshotWriter(w io.Writer) *snapshotWriter {
	return &snapshotWriter{w: bufio.NewWriterSize(w, 64<<10)}
}

func (s *snapshotWriter) put(record []byte) {
	if s.err != nil {
		return
	}
	var n [binary.MaxVarintLen64]byte
	if _, s.err = s.w.Write(n[:binary.PutUvarint(n[:], uint64(len(record)))]); s.err == nil {
		_, s.err = s.w.Write(record)
	}
}

func (s *snapshotWriter) end() error {
	s.put(nil)
	if s.err != nil {
		return s.err
	}
	return s.w.Flush()
}

type snapshotReader struct{ r *bufio.Reader }

func newSnapshotReader(r io.Reader) *snapshotReader {
	return &snapshotReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next record, which belongs to the caller, or io.EOF after the last.
func (s *snapshotReader) next() ([]byte, error) {
	n, err := binary.ReadUvarint(s.r)
	if err != nil {
		return nil, fmt.Errorf("shoal: snapshot ends early: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	if n == 0 {
		return nil, io.EOF
	}
	if n > maxSnapshotRecord {
		return nil, fmt.Errorf("shoal: snapshot is damaged: a record of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return nil, fmt.Errorf("shoal: snapshot ends early: %w", err)
	}
	return b, nil
}
