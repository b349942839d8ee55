package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/shoalmq/shoal"
)

// The names of headers.
const (
	headerBridge    = "Shoal-Bridge"
	headerBatch     = "Shoal-Batch"
	headerSignature = "Shoal-Signature"
)

// sender sends batches, one at a time.
type sender struct {
	cfg    *Config
	h      *shoal.BridgeHost
	client *http.Client
	away   bool // the last request was not answered with what ends a batch
}

func newSender(cfg *Config, h *shoal.BridgeHost) *sender {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS.Clone(), ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: cfg.Timeout, IdleConnTimeout: time.Minute, MaxIdleConns: 1, MaxResponseHeaderBytes: 64 << 10,
	}
	return &sender{cfg: cfg, h: h, client: &http.Client{
		Transport:     transport,
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (s *sender) close() { s.client.CloseIdleConnections() }

// deliver sends a batch until the server has taken or refused all that is in it, or ctx ends.
func (s *sender) deliver(ctx context.Context, items []item) error {
	verdict, err := s.insist(ctx, items)
	switch {
	case err != nil:
		return err
	case verdict == taken:
		for i := range items {
			items[i].message.Acknowledge()
		}
	case len(items) == 1:
		items[0].message.Refuse()
	default:
		half := len(items) / 2
		if err := s.deliver(ctx, items[:half]); err != nil {
			return err
		}
		return s.deliver(ctx, items[half:])
	}
	return nil
}

// insist sends a batch again and again, until there is an answer that is final or ctx ends.
func (s *sender) insist(ctx context.Context, items []item) (verdict, error) {
	text, id := body(s.h.Name(), s.h.Node(), items), rand.Text()
	for pause := s.cfg.RetryFirst; ; pause = min(2*pause, s.cfg.RetryLongest) {
		a := s.post(ctx, text, id)
		if a.verdict != undecided {
			s.isBack(a, len(items))
			return a.verdict, nil
		}
		if ctx.Err() != nil {
			return undecided, ctx.Err()
		}
		wait := min(max(a.retryAfter, pause/2+mathrand.N(pause/2+1)), s.cfg.RetryLongest)
		s.isAway(a, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return undecided, ctx.Err()
		}
	}
}

func (s *sender) isAway(a answer, wait time.Duration) {
	if !s.away {
		s.h.Logger().Warn("the webhook's server does not take requests; the bridge tries on, and messages wait in its session",
			"error", a.err, "pause", wait)
	}
	s.away = true
}

func (s *sender) isBack(a answer, items int) {
	if s.away {
		s.h.Logger().Info("the webhook's server takes requests again")
	}
	s.away = false
	if a.verdict == refused {
		s.h.Logger().Debug("the webhook's server refuses a batch", "items", items, "error", a.err)
	}
}

// verdict is what an answer means for a batch.
type verdict int

const (
	undecided verdict = iota // send it again
	taken
	refused
)

// answer is what a request has led to.
type answer struct {
	verdict    verdict
	err        error
	retryAfter time.Duration
}

// finishTime is how long a bridge that is told to end waits for the answer to what it has sent.
const finishTime = 3 * time.Second

// post sends a request.
func (s *sender) post(ctx context.Context, text []byte, id string) answer {
	// Not with ctx alone: what is cancelled may have been taken all the same, and would come again.
	req, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(finishTime):
			cancel()
		case <-req.Done():
		}
	})
	defer stop()
	r, err := http.NewRequestWithContext(req, http.MethodPost, s.cfg.URL, bytes.NewReader(text))
	if err != nil {
		return answer{err: errors.New("webhook: the URL cannot be used")} // validate has parsed it
	}
	if s.cfg.Header != nil {
		r.Header = s.cfg.Header.Clone()
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(headerBridge, s.h.Name())
	r.Header.Set(headerBatch, id)
	if s.cfg.Secret != "" {
		r.Header.Set(headerSignature, sign(s.cfg.Secret, time.Now(), text))
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return answer{err: fmt.Errorf("webhook: %w", err)} // url.Error shows no password
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // the status is the answer
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)        // so that the connection is used again
	return judge(resp, said)
}

// judge decides what an answer means; see the package's documentation.
func judge(resp *http.Response, said []byte) answer {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return answer{verdict: taken}
	}
	a := answer{err: fmt.Errorf("webhook: the server answers %s: %.200q", resp.Status, said)}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		a.verdict = refused
	default:
		a.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	return a
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second //nolint:gosec // of 31 bits
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
