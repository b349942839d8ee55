package config

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// BridgeWebhook is the file of the bridge that posts messages and events to a URL.
type BridgeWebhook struct {
	URL         string   `key:"url" doc:"where requests go, http or https"`
	Secret      string   `key:"secret" is:"secret" doc:"signs requests, in the header Shoal-Signature; none does not"`
	SecretFile  string   `key:"secret-file" is:"path" doc:"file with the secret"`
	Headers     []string `key:"headers" is:"secret" doc:"headers of each request, as in Authorization: Bearer ${TOKEN}"`
	HeadersFile string   `key:"headers-file" is:"path" doc:"file with more of them, one a line"`

	Filters      []string `key:"filters" doc:"filters of topics whose messages are sent"`
	QoS          int      `key:"qos" default:"1" doc:"the most that messages keep, 1 or 2"`
	Events       []string `key:"events" doc:"connected, disconnected, subscribed, unsubscribed, session-ended; none sends none"`
	EventFilters []string `key:"event-filters" doc:"filters of subscriptions that events tell of; none is all"`
	Spread       bool     `key:"spread" doc:"all nodes send at the same time; order is then kept per node"`

	Batch        int           `key:"batch" default:"100" doc:"messages and events of one request"`
	BatchBytes   int           `key:"batch-bytes" default:"1048576" doc:"bytes of payload of one request"`
	Linger       time.Duration `key:"linger" default:"0s" doc:"how long a batch waits for more"`
	Timeout      time.Duration `key:"timeout" default:"10s" doc:"in which a request is answered"`
	RetryFirst   time.Duration `key:"retry-first" default:"500ms" doc:"pause before a request is sent again; then twice as long each time"`
	RetryLongest time.Duration `key:"retry-longest" default:"30s" doc:"the longest of these pauses"`

	TLSCA   string `key:"tls-ca" is:"path" doc:"certificates of those that sign the server's; default: the system's"`
	TLSCert string `key:"tls-cert" is:"path" doc:"certificate that the bridge shows"`
	TLSKey  string `key:"tls-key" is:"path" doc:"its key"`
}

func (l *Loaded) bridgeWebhook() (*BridgeWebhook, error) {
	w := new(BridgeWebhook)
	if err := l.readOther(l.BridgePath, environment(os.Environ()), w); err != nil {
		return nil, &UsageError{err}
	}
	if err := readSecret(w.SecretFile, &w.Secret); err != nil {
		return nil, &UsageError{fmt.Errorf("%s: secret-file: %w", l.BridgePath, err)}
	}
	var more string
	if err := readSecret(w.HeadersFile, &more); err != nil {
		return nil, &UsageError{fmt.Errorf("%s: headers-file: %w", l.BridgePath, err)}
	}
	w.Headers = append(w.Headers, strings.FieldsFunc(more, func(r rune) bool { return r == '\n' || r == '\r' })...)
	for i, line := range w.Headers {
		if name, _, ok := strings.Cut(line, ":"); !ok || name == "" {
			return nil, usagef("%s: headers: header %d is not of the form \"Name: value\"", l.BridgePath, i+1)
		}
	}
	return w, check(l.BridgePath, []ranged{
		{"qos", w.QoS, 1, 2}, {"batch", w.Batch, 1, 10_000}, {"batch-bytes", w.BatchBytes, 1, 64 << 20},
	})
}

// Header has Headers.
func (w *BridgeWebhook) Header() http.Header {
	h := make(http.Header)
	for _, line := range w.Headers {
		name, value, _ := strings.Cut(line, ":") // it was checked
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}
