package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/internal/codec"
)

// A segment is a file with neighbouring entries of raft's log. It begins with segmentMagic and the index of its first entry, in 8 bytes. Each
// entry is its length, the CRC-32C of what follows, in 4 bytes each, and then a version, type, term, time, extensions and data.
//
// A segment is named after its first index and is only ever appended to, or cut at its end.
type segment struct {
	file  *os.File
	path  string
	first uint64
	ends  []int64 // where each entry ends
	on    medium
}

const (
	segmentMagic     = "shoallg1"
	segmentHeader    = int64(len(segmentMagic)) + 8
	segmentSuffix    = ".log"
	recordHeader     = 8
	logRecordVersion = 1
)

// What may be wrong with the end of a segment, and of nothing else that is on the disk.
var (
	// errTorn says that the last entry was not written to its end. Nobody can have been told that this node has it.
	errTorn = errors.New("incomplete entry")
	// errSpoilt says that the last entry is there in its whole length, and is not what was written. That comes about when the machine loses its power
	// before the disk has the entry, which is then one that this node may have answered for; or by damage.
	errSpoilt = errors.New("the last entry is not what was written")
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // MakeTable keeps it

// createSegment makes an empty segment. What a crash has left of an earlier attempt is in nobody's way.
func createSegment(dir string, first uint64, on medium) (*segment, error) {
	s := &segment{on: on, path: filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentSuffix)), first: first}
	var err error
	if s.file, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, err
	}
	err = on.write(s.file, binary.BigEndian.AppendUint64([]byte(segmentMagic), first), 0)
	if err == nil {
		err = on.flushDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// segmentIndex returns the first index of the segment of this name.
func segmentIndex(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, ok && err == nil
}

// openSegment opens a segment and finds its entries. If its end is not as it was written, the error is errTorn or errSpoilt, and the segment has what is
// before that.
func openSegment(path string, first uint64, on medium) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &segment{file: f, path: path, first: first, on: on}
	data, err := io.ReadAll(f)
	if err == nil {
		err = s.scan(data)
	}
	if err != nil && !isEnd(err) {
		return nil, errors.Join(err, f.Close())
	}
	return s, err
}

// isEnd reports whether an error of openSegment is one of the segment's end, which can be cut off.
func isEnd(err error) bool { return errors.Is(err, errTorn) || errors.Is(err, errSpoilt) }

func (s *segment) scan(data []byte) error {
	switch {
	case allZero(data) || len(data) < int(segmentHeader):
		return errTorn
	case string(data[:len(segmentMagic)]) != segmentMagic || binary.BigEndian.Uint64(data[len(segmentMagic):]) != s.first:
		return &damage{s.path, "its head is not that of the segment that it is named after"}
	}
	at := int(segmentHeader)
	for at < len(data) {
		n, err := checkRecord(data[at:])
		if err != nil {
			return s.flaw(data, at, err)
		}
		at += n
		s.ends = append(s.ends, int64(at))
	}
	return nil
}

// flaw tells an end that was not written from damage: behind damage there is an entry that was.
func (s *segment) flaw(data []byte, at int, err error) error {
	if next := findRecord(data[at+1:]); next >= 0 {
		return &damage{s.path, fmt.Sprintf("entry %d, at byte %d, is not what was written, and there are others behind it", s.last()+1, at)}
	}
	if allZero(data[at:]) {
		return errTorn
	}
	return err
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// checkRecord returns the size of the record that b begins with; errTorn if it is longer than b, errSpoilt if it is not what was written.
func checkRecord(b []byte) (int, error) {
	if len(b) < recordHeader {
		return 0, errTorn
	}
	size := int(binary.BigEndian.Uint32(b))
	switch {
	case size == 0 || size > maxRecord:
		return 0, errSpoilt
	case size > len(b)-recordHeader:
		return 0, errTorn
	}
	body := b[recordHeader : recordHeader+size]
	if crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(b[4:]) {
		return 0, errSpoilt
	}
	return recordHeader + size, nil
}

// findRecord returns where in b the next whole record begins, -1 if there is none.
func findRecord(b []byte) int {
	for at := 0; at+recordHeader+1 < len(b); at++ {
		if b[at+recordHeader] != logRecordVersion || b[at+recordHeader+1] > byte(raft.LogConfiguration) {
			continue // most places are ruled out without a checksum
		}
		if n, err := checkRecord(b[at:]); err == nil && readLogRecord(b[at+recordHeader:at+n], new(raft.Log)) == nil {
			return at
		}
	}
	return -1
}

// readRecord reads one record into buf, or memory of its own, and returns its body; io.EOF when there is none, errTorn when there is no whole one.
func readRecord(r io.Reader, buf []byte) ([]byte, error) {
	var head [recordHeader]byte
	switch n, err := io.ReadFull(r, head[:]); {
	case errors.Is(err, io.EOF) && n == 0:
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errTorn
	case err != nil:
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 || size > maxRecord {
		return nil, errTorn
	}
	if int(size) > cap(buf) {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	switch _, err := io.ReadFull(r, buf); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errTorn
	case err != nil:
		return nil, err
	}
	if crc32.Checksum(buf, castagnoli()) != binary.BigEndian.Uint32(head[4:]) {
		return nil, errTorn
	}
	return buf, nil
}

// maxRecord is larger than any entry that the batcher makes.
const maxRecord = 2 * MaxCommand

func (s *segment) size() int64 {
	if len(s.ends) == 0 {
		return segmentHeader
	}
	return s.ends[len(s.ends)-1]
}

// last returns the index of the last entry, first-1 if there is none.
func (s *segment) last() uint64 { return s.first + uint64(len(s.ends)) - 1 }

// bounds returns where an entry that the segment has begins and ends.
func (s *segment) bounds(index uint64) (from, to int64) {
	i := index - s.first
	from = segmentHeader
	if i > 0 {
		from = s.ends[i-1]
	}
	return from, s.ends[i]
}

// append writes entries behind those that are there. If it fails, the segment is as before, or the error is errBroken, too.
func (s *segment) append(logs []*raft.Log) error {
	var buf []byte
	ends := make([]int64, 0, len(logs))
	at := s.size()
	for _, log := range logs {
		buf = appendRecord(buf, log)
		ends = append(ends, at+int64(len(buf)))
	}
	if err := s.on.write(s.file, buf, at); err != nil {
		if cut := s.file.Truncate(at); cut != nil {
			return errors.Join(err, cut, errBroken)
		}
		return err
	}
	s.ends = append(s.ends, ends...)
	return nil
}

// cut removes the entries from an index on, durably.
func (s *segment) cut(from uint64) error {
	ends := s.ends[:from-s.first]
	size := segmentHeader
	if len(ends) > 0 {
		size = ends[len(ends)-1]
	}
	if err := s.file.Truncate(size); err != nil {
		return err
	}
	s.ends = ends
	return s.on.flush(s.file)
}

func (s *segment) remove() error { return errors.Join(s.file.Close(), os.Remove(s.path)) }

func appendRecord(b []byte, log *raft.Log) []byte {
	at := len(b)
	b = append(b, make([]byte, recordHeader)...)
	b = appendLogRecord(b, log)
	body := b[at+recordHeader:]
	binary.BigEndian.PutUint32(b[at:], uint32(len(body)))
	binary.BigEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli()))
	return b
}

func appendLogRecord(b []byte, log *raft.Log) []byte {
	b = append(b, logRecordVersion, byte(log.Type))
	b = codec.AppendUint(b, log.Term)
	var at int64
	if !log.AppendedAt.IsZero() {
		at = log.AppendedAt.UnixNano()
	}
	b = codec.AppendUint(b, uint64(at))
	b = codec.AppendBytes(b, log.Extensions)
	return codec.AppendBytes(b, log.Data)
}

func readLogRecord(b []byte, out *raft.Log) error {
	r := codec.NewReader(b)
	if v := r.Byte(); v != logRecordVersion {
		return fmt.Errorf("version %d: %w", v, codec.ErrMalformed)
	}
	*out = raft.Log{Type: raft.LogType(r.Byte()), Term: r.Uint()}
	if at := r.Uint(); at != 0 {
		out.AppendedAt = time.Unix(0, int64(at))
	}
	out.Extensions = clone(r.Bytes())
	out.Data = clone(r.Bytes())
	return r.Err()
}

// clone copies what is only valid for now; nothing stays nothing.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte{}, b...)
}
