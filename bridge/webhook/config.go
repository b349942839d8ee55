package webhook

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/shoalmq/shoal/bridge/document"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// Config says where requests go and what is in them.
type Config struct {
	// Name is the bridge's, "webhook" by default; see shoal.Bridge.
	Name string
	// URL is where requests go, http or https. It is required.
	URL string
	// Secret signs requests; see Verify. Without one they have no signature.
	Secret string
	// Header is added to each request: an Authorization, for example.
	Header http.Header
	// TLS is for https, with the certificate that the bridge shows, if it is to show one. Default: what the
	// system trusts.
	TLS *tls.Config

	// Filters are the TopicFilters of messages that are sent.
	Filters []string
	// QoS is that of the bridge's subscriptions: the most that messages keep. Default 1.
	QoS packets.QoS
	// Events says which events are sent.
	Events Events
	// Spread has all nodes of a cluster send at the same time.
	Spread bool

	// Batch is how many messages and events a request has at most, BatchBytes how many bytes of payload;
	// one goes whatever its size. Default 100 and 1 MiB.
	Batch, BatchBytes int
	// Linger is how long a batch waits for more. Default: not at all; what comes while a request is on its
	// way makes the next batch.
	Linger time.Duration
	// Buffer and BufferBytes bound what the bridge holds of its session. Default 1,024, which the broker's
	// Limits.InFlight may lower, and 16 MiB.
	Buffer, BufferBytes int

	// Timeout is how long a request may take until it is answered. Default 10 s.
	Timeout time.Duration
	// RetryFirst and RetryLongest are the shortest and the longest pause before a request is sent again. Default
	// 500 ms and 30 s.
	RetryFirst, RetryLongest time.Duration
}

// Events says which events are sent.
type Events struct {
	// Kinds are those of package document, but for KindPublished: messages are what Filters are for.
	Kinds []string
	// Filters are those whose subscriptions and unsubscriptions are sent, all if there are none. A
	// subscription is concerned whose filter one of Filters covers.
	Filters []string
}

// EventKinds are all that Events.Kinds may have.
func EventKinds() []string {
	return []string{
		document.KindConnected, document.KindDisconnected, document.KindSubscribed, document.KindUnsubscribed,
		document.KindSessionEnded,
	}
}

func (c *Config) setDefaults() {
	setDefault(&c.Name, "webhook")
	setDefault(&c.QoS, 1)
	setDefault(&c.Batch, 100)
	setDefault(&c.BatchBytes, 1<<20)
	setDefault(&c.Timeout, 10*time.Second)
	setDefault(&c.RetryFirst, 500*time.Millisecond)
	setDefault(&c.RetryLongest, max(30*time.Second, c.RetryFirst))
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// ownHeaders are those that the bridge sets itself.
var ownHeaders = []string{"Content-Type", "Content-Length", "Host", headerBridge, headerBatch, headerSignature}

// validate reports everything that is wrong.
func (c *Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("webhook: "+format, args...)) }
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		wrong("URL: it cannot be read; write it as https://example.org/path") // err has the URL, and that a password
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		wrong("URL %q: write it as https://example.org/path", u.Redacted())
	case u.Scheme == "http" && c.TLS != nil:
		wrong("URL %q is http, and TLS is given; write https", u.Redacted())
	}
	for name, values := range c.Header {
		switch {
		case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
			wrong("Header: %s is set by the bridge itself", name)
		case !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }):
			wrong("Header: %q has a name or a value that HTTP does not allow", name)
		}
	}
	if c.QoS > 2 {
		wrong("QoS %d must be 1 or 2", c.QoS)
	}
	if c.Batch < 0 || c.BatchBytes < 0 || c.Linger < 0 || c.Buffer < 0 || c.BufferBytes < 0 {
		wrong("Batch %d, BatchBytes %d, Linger %v, Buffer %d and BufferBytes %d must not be negative",
			c.Batch, c.BatchBytes, c.Linger, c.Buffer, c.BufferBytes)
	}
	if c.Timeout < 0 || c.RetryFirst < 0 || c.RetryLongest < c.RetryFirst {
		wrong("Timeout %v and RetryFirst %v must not be negative, and RetryLongest %v not shorter than RetryFirst",
			c.Timeout, c.RetryFirst, c.RetryLongest)
	}
	if len(c.Filters) == 0 && len(c.Events.Kinds) == 0 {
		wrong("nothing crosses: give Filters or Events.Kinds")
	}
	for _, kind := range c.Events.Kinds {
		if !slices.Contains(EventKinds(), kind) {
			wrong("Events.Kinds: %q is none of %s", kind, strings.Join(EventKinds(), ", "))
		}
	}
	for _, f := range slices.Concat(c.Filters, c.Events.Filters) {
		if err := topics.ValidateFilter(f); err != nil {
			wrong("Filters: %q: %w", f, err)
		}
	}
	return errors.Join(errs...)
}
