package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shoalmq/shoal"
)

// Node is a node of the cluster, as the API tells of it.
type Node struct {
	Name string            `json:"name"`
	Addr string            `json:"addr"`
	Port int               `json:"port"`
	Tags map[string]string `json:"tags"`
	// URL is where the node's own handler is, "http://host:port", empty if it has none.
	URL string `json:"-"`
}

// Config says what a handler tells of, and whom. Only Broker is required.
type Config struct {
	Broker *shoal.Broker
	// Ready reports why the broker does not serve clients, nil if it does. Default: Broker.Ready, for a tenth of a second.
	Ready func(ctx context.Context) error
	// Nodes are those that are up, this one included. Default: there is no cluster.
	Nodes func() []Node
	// Self is the name of this node.
	Self string
	// Token lets those in who show it.
	Token string
	// User reports whether a user may read. It runs on the request's goroutine, for a few requests at a time. Default: there are no users.
	User func(name, password string) bool
	// NoPage leaves the page out.
	NoPage bool
	// Client asks the other nodes. Default: one with a timeout of three seconds.
	Client *http.Client
}

// Handler implements http.Handler. Make one with New.
type Handler struct {
	cfg     Config
	mux     *http.ServeMux
	started time.Time
	users   chan struct{} // a place for each check of a password that may be under way
}

// maxUserChecks bounds checks of passwords, which are slow by intention.
const maxUserChecks = 2

// New returns a handler. It starts no goroutine.
func New(cfg Config) (*Handler, error) {
	if cfg.Broker == nil {
		return nil, errors.New("admin: Config.Broker is nil")
	}
	if cfg.Ready == nil {
		cfg.Ready = func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			return cfg.Broker.Ready(ctx)
		}
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 3 * time.Second}
	}
	h := &Handler{cfg: cfg, mux: http.NewServeMux(), started: time.Now(), users: make(chan struct{}, maxUserChecks)}
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{h}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	h.mux.HandleFunc("GET /readyz", h.ready)
	h.guarded("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	h.guarded("GET /api/v1/mqtt/stat/overall", answer(func(r *http.Request) any { return h.overall(r.Context()) }))
	h.guarded("GET /api/v1/mqtt/stat/online", answer(func(*http.Request) any { return online(cfg.Broker.Metrics()) }))
	if cfg.Nodes != nil {
		h.guarded("GET /api/v1/cluster/nodes", answer(func(*http.Request) any { return cfg.Nodes() }))
		h.guarded("GET /api/v1/cluster/stat/overall", answer(func(r *http.Request) any { return h.askAll(r.Context(), "/api/v1/mqtt/stat/overall") }))
		h.guarded("GET /api/v1/cluster/stat/online", answer(func(r *http.Request) any { return h.askAll(r.Context(), "/api/v1/mqtt/stat/online") }))
	}
	if !cfg.NoPage {
		h.page()
	}
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	if err := h.cfg.Ready(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // the peer's loss
}

// guarded adds a handler for those who may read.
func (h *Handler) guarded(pattern string, next http.Handler) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if status, text := h.refusal(r); status != 0 {
			if status == http.StatusUnauthorized && h.cfg.User != nil {
				w.Header().Set("WWW-Authenticate", `Basic realm="shoal"`)
			}
			http.Error(w, text, status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refusal says why a request is refused, 0 if it is not.
func (h *Handler) refusal(r *http.Request) (status int, text string) {
	if h.cfg.Token == "" && h.cfg.User == nil {
		if local(r.RemoteAddr) && local(r.Host) {
			return 0, ""
		}
		return http.StatusForbidden, "only this machine is answered: set a token to ask from elsewhere"
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && h.cfg.Token != "" && same(token, h.cfg.Token) {
		return 0, ""
	}
	if name, password, ok := r.BasicAuth(); ok && h.cfg.User != nil {
		select {
		case h.users <- struct{}{}:
			defer func() { <-h.users }()
		case <-r.Context().Done():
			return http.StatusServiceUnavailable, "too many are asking"
		}
		if h.cfg.User(name, password) {
			return 0, ""
		}
	}
	return http.StatusUnauthorized, "show the token: Authorization: Bearer …"
}

// same compares without telling by its time how much is the same.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// local reports whether an address, with or without a port, is a loopback one.
func local(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// answer makes a handler of a function that returns what is written as JSON.
func answer(fn func(r *http.Request) any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(fn(r)) // the peer's loss
	})
}
