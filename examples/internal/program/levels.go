package program

import (
	"context"
	"log/slog"
)

// between passes on records of some levels.
type between struct {
	slog.Handler
	from, to slog.Level
}

// Enabled implements slog.Handler.
func (b between) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= b.from && level <= b.to && b.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (b between) WithAttrs(attrs []slog.Attr) slog.Handler {
	return between{b.Handler.WithAttrs(attrs), b.from, b.to}
}

// WithGroup implements slog.Handler.
func (b between) WithGroup(name string) slog.Handler {
	return between{b.Handler.WithGroup(name), b.from, b.to}
}

// AtLeast returns a logger that writes where l does, and only records of level and above.
func AtLeast(l *slog.Logger, level slog.Level) *slog.Logger {
	return slog.New(between{l.Handler(), level, slog.LevelError + 1000})
}
