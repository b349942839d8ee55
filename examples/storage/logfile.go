package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/memory"
)

// logFile is a shoal.Storage: all entries in memory, and each Commit a line of a file, which is read when it opens. The file grows
// for ever; a real one would be rewritten once in a while.
type logFile struct {
	*memory.Store
	path string

	mu   sync.Mutex // one writer at a time
	file *os.File
	size int64 // up to here the file is whole
}

func openLog(path string) *logFile { return &logFile{Store: memory.New(), path: path} }

// Open implements shoal.Opener.
func (l *logFile) Open(ctx context.Context) (err error) {
	if l.file, err = os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	for lines := bufio.NewReader(l.file); ; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil // a line that has no end was being written in a crash: its Commit had not returned
		}
		if err == nil {
			err = l.apply(ctx, strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return fmt.Errorf("%s, at byte %d: %w", l.path, l.size, err)
		}
		l.size += int64(len(line))
	}
}

// apply reads a line: a checksum, a space, and the operations.
func (l *logFile) apply(ctx context.Context, line string) error {
	sum, text, _ := strings.Cut(line, " ")
	if sum != checksum(text) {
		return errors.New("the line is damaged")
	}
	var ops []shoal.Op
	if err := json.Unmarshal([]byte(text), &ops); err != nil {
		return err
	}
	return l.Store.Commit(ctx, ops)
}

func checksum(text string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) }

// Commit implements shoal.Storage.
func (l *logFile) Commit(ctx context.Context, ops []shoal.Op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Store.Commit(ctx, nil); err != nil { // closed, or ctx has ended
		return err
	}
	for i := range ops {
		if err := ops[i].Check(); err != nil {
			return fmt.Errorf("space %q: %w", ops[i].Space, err)
		}
	}
	text, err := json.Marshal(ops)
	if err != nil {
		return err
	}
	line := checksum(string(text)) + " " + string(text) + "\n"
	if _, err := l.file.WriteAt([]byte(line), l.size); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.size += int64(len(line))
	return l.Store.Commit(context.WithoutCancel(ctx), ops)
}

// Close implements shoal.Storage.
func (l *logFile) Close() error { return errors.Join(l.Store.Close(), l.file.Close()) }
