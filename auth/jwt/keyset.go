package jwt

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	// between is how often the set is fetched at most, whatever keys tokens name.
	between  = 10 * time.Second
	again    = time.Second // after a failure
	largest  = 1 << 20     // bytes
	fetching = 10 * time.Second
	mostKeys = 100
)

// keySet is a JWK set at a URL.
type keySet struct {
	url           string
	refresh, keep time.Duration
	client        *http.Client
	transport     *http.Transport
	life          context.Context
	cancel        context.CancelFunc
	fetches       sync.WaitGroup

	mu      sync.Mutex // guards the fields below, and nothing slow
	keys    []verifier
	fetched time.Time     // when keys were
	tried   time.Time     // when the last attempt began
	attempt chan struct{} // closed when it has ended
	err     error         // of the last attempt
	closed  bool
}

func newKeySet(cfg *Config) *keySet {
	tr := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS, ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{Timeout: fetching}).DialContext, DisableKeepAlives: true,
	}
	s := &keySet{url: cfg.JWKS, refresh: cfg.Refresh, keep: cfg.KeepKeys, transport: tr, client: &http.Client{Transport: tr}}
	s.life, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *keySet) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.fetches.Wait()
}

// get returns the keys, fetched again if they are old, or if none of them is wanted.
func (s *keySet) get(ctx context.Context, wanted func([]verifier) bool) ([]verifier, error) {
	s.mu.Lock()
	now := time.Now()
	if keys := s.keys; now.Sub(s.fetched) < s.refresh && (wanted(keys) || now.Sub(s.tried) < between) {
		s.mu.Unlock()
		return keys, nil
	}
	wait := between
	if s.err != nil {
		wait = again
	}
	if s.attempt == nil && !s.closed && now.Sub(s.tried) >= wait {
		s.tried, s.attempt = now, make(chan struct{})
		s.fetches.Add(1)
		go s.fetch(s.attempt)
	}
	attempt := s.attempt
	s.mu.Unlock()
	if attempt != nil {
		select {
		case <-attempt:
		case <-ctx.Done():
			return nil, fmt.Errorf("jwt: %s: %w", s.url, context.Cause(ctx))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != nil && (s.err == nil || time.Since(s.fetched) < s.keep) {
		return s.keys, nil
	}
	return nil, fmt.Errorf("jwt: %s: %w", s.url, s.err)
}

func (s *keySet) fetch(done chan struct{}) {
	defer s.fetches.Done()
	ctx, cancel := context.WithTimeout(s.life, fetching)
	defer cancel()
	keys, err := s.download(ctx)
	s.mu.Lock()
	if s.err = err; err == nil {
		s.keys, s.fetched = keys, time.Now()
	}
	s.attempt = nil
	s.mu.Unlock()
	close(done)
}

func (s *keySet) download(ctx context.Context) ([]verifier, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("unexpected status %s", answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, largest))
	if err != nil {
		return nil, err
	}
	return parseKeySet(body)
}

// parseKeySet reads the keys of a JWK set that signatures are verified with. It passes over others.
func parseKeySet(body []byte) ([]verifier, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("it is no JWK set: %w", err)
	}
	var keys []verifier
	for _, m := range set.Keys {
		if m.USE != "" && m.USE != jwkset.UseSig || len(keys) == mostKeys {
			continue
		}
		k, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue // of a type that is not known, or not valid
		}
		kind, err := typeOf(k.Key())
		if err != nil || algorithms[kind] == nil || kind == "HMAC" {
			continue
		}
		keys = append(keys, verifier{id: m.KID, alg: m.ALG.String(), kind: kind, key: k.Key()})
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}
