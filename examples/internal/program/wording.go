package program

import (
	"log/slog"
	"net/url"
)

// wordings are what the program calls what the broker and the cluster log. A message that is not here is written as it is.
var wordings = map[string]struct {
	message string
	hidden  string // a key that says nothing to people
}{
	"listening":            {message: "attached listener"},
	"leader changed":       {message: "found leader"},
	"node joined":          {message: "node joined", hidden: "incarnation"},
	"node lost":            {message: "node lost", hidden: "incarnation"},
	"node found":           {message: "node found", hidden: "incarnation"},
	"cluster node started": {message: "cluster node created"},
}

// reword puts r into the program's own words.
func reword(r *slog.Record) {
	w, ok := wordings[r.Message]
	if !ok {
		return
	}
	said := slog.NewRecord(r.Time, r.Level, w.message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key == "listener":
			said.AddAttrs(protocol(a.Value.String()))
		case a.Key != w.hidden || w.hidden == "":
			said.AddAttrs(a)
		}
		return true
	})
	*r = said
}

// protocol says which protocol a listener with this URL speaks.
func protocol(listener string) slog.Attr {
	u, err := url.Parse(listener)
	if err != nil || u.Scheme == "" {
		return slog.String("listener", listener)
	}
	return slog.String("protocol", u.Scheme)
}
