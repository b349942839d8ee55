// Package logbridge brings the log lines of vendor libraries into log/slog.
package logbridge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// HC returns a hclog.Logger that writes to l. Everything is written at Debug: what a library finds worth a warning, such as a
// heartbeat that failed, is to an operator the detail behind an event that the cluster reports itself.
func HC(l *slog.Logger) hclog.Logger { return &hc{log: l} }

// Std returns a log.Logger that writes to l at Debug.
func Std(l *slog.Logger) *log.Logger { return log.New(writer{l}, "", 0) }

type hc struct {
	log     *slog.Logger
	name    string
	implied []any
}

func (h *hc) Log(level hclog.Level, msg string, args ...any) {
	if !h.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := make([]any, 0, len(h.implied)+len(args)+4)
	attrs = append(attrs, h.implied...)
	attrs = append(attrs, args...)
	for i, a := range attrs {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			attrs[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	h.log.Debug(msg, append(attrs, "level_there", level.String())...)
}

func (h *hc) Trace(string, ...any)             {}
func (h *hc) Debug(msg string, args ...any)    { h.Log(hclog.Debug, msg, args...) }
func (h *hc) Info(msg string, args ...any)     { h.Log(hclog.Info, msg, args...) }
func (h *hc) Warn(msg string, args ...any)     { h.Log(hclog.Warn, msg, args...) }
func (h *hc) Error(msg string, args ...any)    { h.Log(hclog.Error, msg, args...) }
func (h *hc) IsTrace() bool                    { return false }
func (h *hc) IsDebug() bool                    { return h.log.Enabled(context.Background(), slog.LevelDebug) }
func (h *hc) IsInfo() bool                     { return h.IsDebug() }
func (h *hc) IsWarn() bool                     { return h.IsDebug() }
func (h *hc) IsError() bool                    { return h.IsDebug() }
func (h *hc) ImpliedArgs() []any               { return h.implied }
func (h *hc) Name() string                     { return h.name }
func (h *hc) SetLevel(hclog.Level)             {}
func (h *hc) GetLevel() hclog.Level            { return hclog.Debug }
func (h *hc) Named(name string) hclog.Logger   { return &hc{log: h.log, name: name, implied: h.implied} }
func (h *hc) ResetNamed(n string) hclog.Logger { return h.Named(n) }

func (h *hc) With(args ...any) hclog.Logger {
	return &hc{log: h.log, name: h.name, implied: append(append([]any(nil), h.implied...), args...)}
}

func (h *hc) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger { return Std(h.log) }
func (h *hc) StandardWriter(*hclog.StandardLoggerOptions) io.Writer   { return writer{h.log} }

// writer turns every Write into one line.
type writer struct{ log *slog.Logger }

func (w writer) Write(p []byte) (int, error) {
	w.log.Debug(string(bytes.TrimRight(p, "\n")))
	return len(p), nil
}
