package program

import (
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/DeRuina/timberjack"

	"github.com/shoalmq/shoal/internal/config"
)

// logging is the program's log, whose level can be changed while it runs.
type logging struct {
	*slog.Logger
	level *slog.LevelVar
	files []io.Closer
}

// newLogging opens the log that a configuration asks for.
func newLogging(l *config.Loaded, console io.Writer) (*logging, error) {
	level, err := l.LogLevel()
	if err != nil {
		return nil, err
	}
	lg := &logging{level: new(slog.LevelVar)}
	lg.level.Set(level)
	const toConsole, toFile, toBoth = 0, 1, 2
	var handlers []slog.Handler
	if l.Log.Output == toConsole || l.Log.Output == toBoth || l.Log.Filename == "" {
		handlers = append(handlers, newHandler(console, consoleFormat(l), lg.level))
	}
	if (l.Log.Output == toFile || l.Log.Output == toBoth) && l.Log.Filename != "" {
		handlers = append(handlers, newHandler(lg.open(l, l.Log.Filename), fileFormat(l), lg.level))
	}
	if l.Log.InfoFile != "" {
		handlers = append(handlers, between{newHandler(lg.open(l, l.Log.InfoFile), fileFormat(l), lg.level), slog.LevelDebug, slog.LevelError - 1})
	}
	if l.Log.ErrorFile != "" {
		handlers = append(handlers, between{newHandler(lg.open(l, l.Log.ErrorFile), fileFormat(l), lg.level), slog.LevelError, slog.LevelError + 1000})
	}
	lg.Logger = slog.New(slog.NewMultiHandler(handlers...))
	return lg, nil
}

func consoleFormat(l *config.Loaded) string {
	const production = 1
	if l.Log.Format == "" && l.Log.Env == production {
		return "json"
	}
	return l.Log.Format
}

func fileFormat(l *config.Loaded) string {
	if f := consoleFormat(l); f != "" && f != "console" {
		return f
	}
	return "text"
}

// newHandler returns a handler of a format: as the key log.format has it.
func newHandler(w io.Writer, format string, level slog.Leveler) slog.Handler {
	switch format {
	case "1", "json":
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	case "0", "text":
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	}
	return newConsoleHandler(w, level)
}

// open returns a file that is rotated.
func (lg *logging) open(l *config.Loaded, path string) io.Writer {
	f := &timberjack.Logger{
		Filename: path, MaxSize: l.Log.MaxSize, MaxAge: l.Log.MaxAge, MaxBackups: l.Log.MaxBackups, Compression: map[bool]string{true: "gzip", false: "none"}[l.Log.Compress], LocalTime: true,
		FileMode: 0o640,
	}
	lg.files = append(lg.files, f)
	return f
}

func (lg *logging) close() (err error) {
	for _, f := range lg.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// noColour is the variable of no-color.org.
const noColour = "NO_" + "COLOR" //nolint:misspell // its name

// isTerminal reports whether a person is likely to look at what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv(noColour) != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
