package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/shoalmq/shoal/internal/config"
)

// Exit statuses of a program.
const (
	statusOK          = 0
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 130 // as a shell reports a program that SIGINT ended
)

// UsageError is an error of Run's function that is about the command line; its text names the flag.
type UsageError struct{ Err error }

// Error implements error.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef returns a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{Err: fmt.Errorf(format, args...)} }

// Run calls run with a context that ends at the first SIGINT or SIGTERM, and returns the program's exit status. It writes run's
// error to stderr, in one line. The second signal ends the process at once.
func Run(name string, stderr io.Writer, run func(ctx context.Context) error) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for n := 1; ; n++ {
			select {
			case <-signals:
			case <-done:
				return
			}
			if n == 2 {
				_, _ = fmt.Fprintf(stderr, "%s: second signal: stopping at once\n", name)
				os.Exit(statusInterrupted)
			}
			cancel()
		}
	}()
	err := run(ctx)
	signal.Stop(signals)
	close(done)
	<-watched
	return status(name, stderr, err)
}

func status(name string, stderr io.Writer, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return statusOK
	}
	for _, line := range strings.Split(err.Error(), "\n") { // one for each mistake
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", name, line)
	}
	if errors.As(err, new(*UsageError)) || errors.As(err, new(*config.UsageError)) {
		_, _ = fmt.Fprintf(stderr, "%s -h lists the flags.\n", name)
		return statusUsage
	}
	return statusFailed
}
