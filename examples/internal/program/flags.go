package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
)

// Flags returns an empty set of flags whose -h writes usage, and then the flags, to stderr.
func Flags(name, usage string, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are written by Run
	fs.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage, "\nFlags:\n")
		fs.SetOutput(stderr)
		fs.PrintDefaults()
		fs.SetOutput(io.Discard)
	}
	return fs
}

// ParseFlags reads args. Every error but flag.ErrHelp is a UsageError, and there are no arguments but flags.
func ParseFlags(fs *flag.FlagSet, args []string) error {
	usage := fs.Usage
	fs.Usage = func() {} // only for -h, not after an error
	err := fs.Parse(args)
	fs.Usage = usage
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage()
		return err
	case err != nil:
		return &UsageError{Err: err}
	case fs.NArg() > 0:
		return Usagef("unexpected argument %q: there are only flags, such as -data-dir", fs.Arg(0))
	}
	return nil
}

// LogLevel adds the flag -log-level.
func LogLevel(fs *flag.FlagSet) *slog.Level {
	level := new(slog.Level)
	fs.TextVar(level, "log-level", slog.LevelInfo, "how much to log: `level` debug, info, warn or error")
	return level
}
