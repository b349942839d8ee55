package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLine is the longest line that Read takes: an event is a few hundred bytes.
const maxLine = 1 << 20

// Write writes the history as JSON lines: one event each.
func (h History) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for i := range h {
		if err := enc.Encode(&h[i]); err != nil {
			return fmt.Errorf("history: event %d: %w", i+1, err)
		}
	}
	return b.Flush()
}

// WriteFile writes the history to a file, which it replaces.
func (h History) WriteFile(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return h.Write(f)
}

// Read reads a history from JSON lines. An error names the line.
func Read(r io.Reader) (History, error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	var h History
	for line := 1; s.Scan(); line++ {
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("history: line %d: %w", line, err)
		}
		h = append(h, e)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return h, nil
}
