package program

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// logHandler writes one line per record for people: time, level, message, key=value.
type logHandler struct {
	level slog.Leveler
	attrs string // of WithAttrs, written already
	group string // of WithGroup, with a dot behind it

	mu     *sync.Mutex // guards out, which all handlers of one log share
	w      io.Writer
	colour bool
}

// NewLogger returns a logger that writes a line for people to w for each record of level and above.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(newConsoleHandler(w, level))
}

func newConsoleHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return &logHandler{level: level, mu: new(sync.Mutex), w: w, colour: isTerminal(w)}
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	reword(&r)
	var b strings.Builder
	b.WriteString(r.Time.Format("15:04:05"))
	b.WriteString(h.levelName(r.Level))
	b.WriteString(oneLine(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.group, a)
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.group, a)
	}
	with := *h
	with.attrs = b.String()
	return &with
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.group += name + "."
	}
	return &with
}

// levelName is the level, coloured for a terminal.
func (h *logHandler) levelName(l slog.Level) string {
	name := levelName(l)
	if !h.colour {
		return name
	}
	colour := "32" // green
	switch {
	case l < slog.LevelInfo:
		colour = "36"
	case l >= slog.LevelError:
		colour = "31"
	case l >= slog.LevelWarn:
		colour = "33"
	}
	return " \x1b[" + colour + "m" + strings.TrimSpace(name) + "\x1b[0m "
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return " DBG "
	case l < slog.LevelWarn:
		return " INF "
	case l < slog.LevelError:
		return " WRN "
	}
	return " ERR "
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			appendAttr(b, group, inner)
		}
		return
	}
	if a.Key == "" {
		return
	}
	text := v.String()
	if text == "" || strings.ContainsFunc(text, needsQuotes) {
		text = strconv.Quote(text)
	}
	_, _ = fmt.Fprintf(b, " %s%s=%s", group, a.Key, text) // a Builder does not fail
}

func needsQuotes(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == '"' || r == '='
}

// oneLine keeps a text from going over several lines.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
