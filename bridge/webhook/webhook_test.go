package webhook_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/bridge/bridgetest"
	"github.com/shoalmq/shoal/bridge/document"
	"github.com/shoalmq/shoal/bridge/webhook"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func TestContract(t *testing.T) {
	for name, batch := range map[string]int{"batches": 100, "one by one": 1} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Run(t, func(t *testing.T) bridgetest.Far {
				s := newServer(t, nil)
				return bridgetest.Far{
					Bridge: func(testing.TB) shoal.Bridge {
						return webhook.New(webhook.Config{
							URL: s.url(), Filters: []string{"out/#"}, Batch: batch, RetryFirst: 20 * time.Millisecond, RetryLongest: time.Second,
						})
					},
					Arrived: func(testing.TB) []string { return s.payloads() },
					Away:    s.kill,
					Back:    s.start,
				}
			})
		})
	}
}

func publish(t testing.TB, b *shoal.Broker, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "out/1", Payload: []byte(p), QoS: 1}))
	}
}

func start(t testing.TB, s *server, change func(c *webhook.Config), opts ...shoal.Option) *shoal.Broker {
	t.Helper()
	c := webhook.Config{URL: s.url(), Filters: []string{"out/#"}, RetryFirst: 10 * time.Millisecond, RetryLongest: 50 * time.Millisecond}
	if change != nil {
		change(&c)
	}
	return bridgetest.Start(t, webhook.New(c), opts...)
}

func arrive(t testing.TB, s *server, payloads ...string) {
	t.Helper()
	bridgetest.Eventually(t, fmt.Sprint(payloads, " arrive"), func() bool { return len(s.payloads()) >= len(payloads) })
	require.Equal(t, payloads, s.payloads())
}

// A batch that is not answered with a 2xx is sent again as it was, and nothing is acknowledged, whatever else the answer is.
func TestTriedAgain(t *testing.T) {
	for _, status := range []int{301, 307, 401, 403, 404, 405, 408, 410, 425, 429, 500, 502, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			s := newServer(t, func(*request) int {
				if n.Add(1) <= 3 {
					return status
				}
				return 200
			})
			b := start(t, s, nil)
			publish(t, b, "a")
			arrive(t, s, "a")
			require.GreaterOrEqual(t, len(s.had()), 4)
			for _, r := range s.had() {
				require.Equal(t, s.had()[0].header.Get("Shoal-Batch"), r.header.Get("Shoal-Batch"))
				require.Equal(t, s.had()[0].body, r.body)
			}
			require.Zero(t, b.Metrics().Dropped[shoal.DropRefused])
			bridgetest.Eventually(t, "it is acknowledged", func() bool { return b.Bridges()[0].Queued == 0 })
		})
	}
}

// A message that the server will never take is dropped with a reason, and those beside it cross, in order.
func TestRefused(t *testing.T) {
	for _, status := range []int{400, 409, 413, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			gate := make(chan struct{})
			s := newServer(t, func(r *request) int {
				<-gate
				for _, i := range r.batch.Items {
					if strings.HasPrefix(string(i.Message.Payload), "bad") {
						return status
					}
				}
				return 200
			})
			b := start(t, s, nil)
			publish(t, b, "0", "1", "bad 1", "2", "3", "bad 2", "bad 3", "4")
			close(gate)
			arrive(t, s, "0", "1", "2", "3", "4")
			bridgetest.Eventually(t, "all is done with", func() bool { return b.Bridges()[0].Queued == 0 })
			require.EqualValues(t, 3, b.Metrics().Dropped[shoal.DropRefused])
		})
	}
}

// A server that takes a request and does not answer is given up, and asked again.
func TestServerThatDoesNotAnswer(t *testing.T) {
	var n atomic.Int32
	stuck := make(chan struct{})
	s := newServer(t, func(*request) int {
		if n.Add(1) == 1 {
			<-stuck
		}
		return 200
	})
	t.Cleanup(func() { close(stuck) })
	b := start(t, s, func(c *webhook.Config) { c.Timeout = 100 * time.Millisecond })
	publish(t, b, "a")
	arrive(t, s, "a")
}

// Batches are bounded in messages and bytes; one message goes whatever its size.
func TestBatchBounds(t *testing.T) {
	gate := make(chan struct{})
	var once atomic.Bool
	s := newServer(t, func(*request) int {
		if !once.Swap(true) {
			<-gate
		}
		return 200
	})
	b := start(t, s, func(c *webhook.Config) { c.Batch, c.BatchBytes = 3, 100 })
	publish(t, b, "first")
	bridgetest.Eventually(t, "the first is sent", once.Load)
	long := strings.Repeat("x", 200)
	publish(t, b, "1", "2", "3", "4", strings.Repeat("y", 60), strings.Repeat("z", 60), long, "5")
	close(gate)
	bridgetest.Eventually(t, "all arrive", func() bool { return len(s.payloads()) == 9 })
	var sizes []int
	for _, r := range s.had() {
		sizes = append(sizes, len(r.batch.Items))
	}
	require.Equal(t, []int{1, 3, 2, 1, 1, 1}, sizes)
}

// A message that lingers makes a batch with those that come behind it.
func TestLinger(t *testing.T) {
	s := newServer(t, nil)
	b := start(t, s, func(c *webhook.Config) { c.Linger, c.Batch = time.Hour, 4 })
	publish(t, b, "1", "2", "3", "4")
	arrive(t, s, "1", "2", "3", "4")
	require.Len(t, s.had(), 1)
}

// A request says whose it is, is signed if there is a secret, and has everything that the message has.
func TestRequest(t *testing.T) {
	s := newServer(t, nil)
	b := start(t, s, func(c *webhook.Config) {
		c.Name, c.Secret, c.QoS, c.Header = "hook", "s3cret", 2, http.Header{"Authorization": {"Bearer x"}}
	})
	m := shoal.Message{TopicName: "out/1", Payload: []byte{0, 255}, QoS: 2, Retain: true}
	m.Properties.ContentType = packets.Some("text/plain")
	m.Properties.UserProperties = []packets.UserProperty{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}}
	require.NoError(t, b.Publish(t.Context(), m))
	bridgetest.Eventually(t, "it arrives", func() bool { return len(s.taken()) == 1 })
	r := s.had()[0]
	require.Equal(t, "application/json hook Bearer x", strings.Join([]string{
		r.header.Get("Content-Type"), r.header.Get("Shoal-Bridge"), r.header.Get("Authorization"),
	}, " "))
	require.NotEmpty(t, r.header.Get("Shoal-Batch"))
	require.NoError(t, webhook.Verify(r.header, r.body, "s3cret", time.Minute))
	require.ErrorIs(t, webhook.Verify(r.header, append(r.body, ' '), "s3cret", time.Minute), webhook.ErrWrongSignature)
	require.Equal(t, "hook", r.batch.Bridge)
	got := r.batch.Items[0].Message
	require.NotEmpty(t, got.Time)
	got.Time = ""
	require.Equal(t, &document.Message{
		Topic: "out/1", Payload: []byte{0, 255}, QoS: 2, Retain: true, ContentType: "text/plain",
		UserProperties: []document.UserProperty{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}},
	}, got)
}

// Signatures are checked: what they are of, and when they were made.
func TestVerify(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	body := []byte("{}")
	good := webhook.Sign("k", now, body)
	// Computed by: printf '1800000000.{}' | openssl dgst -sha256 -hmac k
	require.Equal(t, "t=1800000000,v1="+"cdd93e246b17200236861b3061e5be1099fa09298de6cebf58e528db933f5c62", good)
	for name, tc := range map[string]struct {
		value, secret string
		now           time.Time
		want          error
	}{
		"good":            {good, "k", now.Add(time.Minute), nil},
		"another secret":  {good, "x", now, webhook.ErrWrongSignature},
		"another time":    {strings.Replace(good, "t=1800000000", "t=1800000001", 1), "k", now, webhook.ErrWrongSignature},
		"old":             {good, "k", now.Add(6 * time.Minute), webhook.ErrOldSignature},
		"from the future": {good, "k", now.Add(-6 * time.Minute), webhook.ErrOldSignature},
		"none":            {"", "k", now, webhook.ErrNoSignature},
		"no time":         {strings.TrimPrefix(good, "t=1800000000,"), "k", now, webhook.ErrNoSignature},
		"no hex":          {"t=1800000000,v1=zz", "k", now, webhook.ErrNoSignature},
		"empty":           {"t=1800000000,v1=", "k", now, webhook.ErrWrongSignature},
	} {
		require.ErrorIs(t, webhook.VerifyAt(tc.value, body, tc.secret, 5*time.Minute, tc.now), tc.want, name)
	}
}

// Retry-After is seconds or a date.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		require.Equal(t, want, webhook.RetryAfter(value, now), value)
	}
}

// What clients do is sent in order, as far as it is asked for.
func TestEvents(t *testing.T) {
	s := newServer(t, nil)
	b := start(t, s, func(c *webhook.Config) {
		c.Filters, c.Events = nil, webhook.Events{Kinds: webhook.EventKinds(), Filters: []string{"t/#"}}
	})
	conn, err := b.Dial(t.Context())
	require.NoError(t, err)
	c := mqtttest.New(t, conn, packets.V5)
	c.Connect(&packets.Connect{ClientID: "dev", CleanStart: true, UserName: packets.Some("ann")})
	c.Subscribe(1, "t/#")
	c.Subscribe(1, "other")
	c.Publish(1, "t/1", "m")
	c.Unsubscribe("t/#")
	c.Disconnect()
	bridgetest.Eventually(t, "five events arrive", func() bool { return len(s.events()) >= 5 })
	kinds := make([]string, 0, 5)
	for _, e := range s.events() {
		require.Equal(t, "dev", e.Client)
		kinds = append(kinds, e.Event)
		switch e.Event {
		case document.KindConnected:
			require.Equal(t, "ann inprocess 5 true false", fmt.Sprint(e.Principal, " ", e.Listener, " ", e.Version, " ", *e.CleanStart, " ", *e.SessionPresent))
		case document.KindSubscribed:
			require.Equal(t, []document.Subscription{{Filter: "t/#", QoS: 1}}, e.Subscriptions)
		case document.KindDisconnected:
			require.Zero(t, *e.ReasonCode)
		}
	}
	require.Equal(t, []string{"connected", "subscribed", "unsubscribed", "session-ended", "disconnected"}, kinds)
}

// A server is checked by the certificates given, and the bridge shows its own.
func TestMutualTLS(t *testing.T) {
	ca := authtest.NewAuthority(t)
	s := newTLSServer(t, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.Issue(t, nil)},
		ClientCAs: ca.Pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}, nil)
	own := ca.Issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "bridge" })
	b := start(t, s, func(c *webhook.Config) {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: ca.Pool, Certificates: []tls.Certificate{own}}
	})
	publish(t, b, "a")
	arrive(t, s, "a")
	require.Equal(t, "bridge", s.had()[0].peer)
}

func TestConfigIsChecked(t *testing.T) {
	good := func() webhook.Config { return webhook.Config{URL: "http://127.0.0.1/x", Filters: []string{"a"}} }
	for want, change := range map[string]func(c *webhook.Config){
		"write it as":                    func(c *webhook.Config) { c.URL = "" },
		"URL: it cannot be read":         func(c *webhook.Config) { c.URL = "http://a:pass%zz@x" },
		"xxxxx@x":                        func(c *webhook.Config) { c.URL = "ftp://a:pass@x" },
		"is http, and TLS is given":      func(c *webhook.Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS12} },
		"content-type is set by":         func(c *webhook.Config) { c.Header = http.Header{"content-type": {"x"}} },
		"that HTTP does not allow":       func(c *webhook.Config) { c.Header = http.Header{"X": {"a\r\nb: c"}} },
		"QoS 3":                          func(c *webhook.Config) { c.QoS = 3 },
		"must not be negative":           func(c *webhook.Config) { c.Batch = -1 },
		"not shorter than RetryFirst":    func(c *webhook.Config) { c.RetryFirst, c.RetryLongest = 2, 1 },
		"nothing crosses":                func(c *webhook.Config) { c.Filters = nil },
		`"published" is none of connect`: func(c *webhook.Config) { c.Events.Kinds = []string{"published"} },
		`Filters: "a#"`:                  func(c *webhook.Config) { c.Filters = []string{"a#"} },
		"letters, digits":                func(c *webhook.Config) { c.Name = "a b" },
	} {
		c := good()
		change(&c)
		_, err := shoal.New(shoal.WithAnonymous(), shoal.WithBridge(webhook.New(c)))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "pass@")
		require.NotContains(t, err.Error(), "pass%")
	}
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithBridge(webhook.New(good())))
	require.NoError(t, err)
}
