package webhook_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/bridge/document"
	"github.com/shoalmq/shoal/bridge/webhook"
)

// request is one that a server has had.
type request struct {
	header http.Header
	body   []byte
	batch  webhook.Batch
	peer   string // CommonName of the certificate that was shown
}

// server is an HTTP server that dies and comes back at the same address.
type server struct {
	addr   string
	tls    *tls.Config
	answer func(r *request) int // nil answers 204

	mu       sync.Mutex
	running  *http.Server
	requests []request
	items    []webhook.Item // of those that were answered with 2xx
}

func newServer(t testing.TB, answer func(r *request) int) *server {
	return newTLSServer(t, nil, answer)
}

func newTLSServer(t testing.TB, c *tls.Config, answer func(r *request) int) *server {
	t.Helper()
	s := &server{addr: "127.0.0.1:0", tls: c, answer: answer}
	s.start(t)
	t.Cleanup(func() { s.kill(t) })
	return s
}

func (s *server) start(t testing.TB) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.addr)
	require.NoError(t, err)
	s.addr = l.Addr().String()
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = srv
	go func() { _ = srv.Serve(l) }()
}

// kill ends the server with all its connections.
func (s *server) kill(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	srv := s.running
	s.mu.Unlock()
	require.NoError(t, srv.Close())
}

func (s *server) url() string {
	if s.tls != nil {
		return "https://" + s.addr + "/hook"
	}
	return "http://" + s.addr + "/hook"
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	req := request{header: r.Header, body: body}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		req.peer = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	if err := json.Unmarshal(body, &req.batch); err != nil || r.Method != http.MethodPost || r.URL.Path != "/hook" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	status := http.StatusNoContent
	if s.answer != nil {
		status = s.answer(&req)
	}
	s.mu.Lock()
	s.requests = append(s.requests, req)
	if status/100 == 2 {
		s.items = append(s.items, req.batch.Items...)
	}
	s.mu.Unlock()
	if status/100 == 3 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
}

func (s *server) had() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.requests...)
}

func (s *server) taken() []webhook.Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]webhook.Item(nil), s.items...)
}

// payloads returns those of the messages that the server has taken.
func (s *server) payloads() (list []string) {
	for _, i := range s.taken() {
		if i.Message != nil {
			list = append(list, string(i.Message.Payload))
		}
	}
	return list
}

func (s *server) events() (list []*document.Event) {
	for _, i := range s.taken() {
		if i.Event != nil {
			list = append(list, i.Event)
		}
	}
	return list
}
