package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func broker(t *testing.T) *shoal.Broker {
	t.Helper()
	b, err := shoal.New(shoal.WithAnonymous())
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.Shutdown(context.Background())) })
	return b
}

func serve(t *testing.T, cfg admin.Config) *httptest.Server {
	t.Helper()
	h, err := admin.New(cfg)
	require.NoError(t, err)
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close(); http.DefaultClient.CloseIdleConnections() })
	return s
}

func get(t *testing.T, url string, change ...func(*http.Request)) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	for _, c := range change {
		c(r)
	}
	a, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	return a.StatusCode, string(text)
}

func TestFigures(t *testing.T) {
	b := broker(t)
	s := serve(t, admin.Config{Broker: b})
	require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "a", Payload: []byte("x"), Retain: true}))
	status, body := get(t, s.URL+"/metrics")
	require.Equal(t, http.StatusOK, status)
	for _, name := range strings.Fields("bytes_received bytes_sent messages_received messages_sent messages_dropped packets_received packets_sent clients_connected" +
		" clients_disconnected clients_maximum clients_total retained inflight inflight_dropped subscriptions memory_alloc threads shoal_ready shoal_sessions") {
		require.Regexp(t, "(?m)^"+name+" [0-9.e+]+$", body)
	}
	require.Contains(t, body, "\nretained 1\n")
	status, body = get(t, s.URL+"/api/v1/mqtt/stat/overall")
	require.Equal(t, http.StatusOK, status)
	var figures map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &figures))
	require.Len(t, figures, 21)
	require.InDelta(t, 1, figures["retained"], 0)
	require.Equal(t, shoal.Version(), figures["version"])
	_, body = get(t, s.URL+"/api/v1/mqtt/stat/online")
	require.Equal(t, "0\n", body)
	status, _ = get(t, s.URL+"/api/v1/cluster/nodes")
	require.Equal(t, http.StatusNotFound, status, "there is no cluster")
}

func TestHealth(t *testing.T) {
	var why error
	s := serve(t, admin.Config{Broker: broker(t), Token: "t", Ready: func(context.Context) error { return why }})
	status, _ := get(t, s.URL+"/livez")
	require.Equal(t, http.StatusOK, status)
	status, _ = get(t, s.URL+"/readyz")
	require.Equal(t, http.StatusOK, status)
	why = errors.New("the node holds no lease")
	status, body := get(t, s.URL+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "no lease")
	_, body = get(t, s.URL+"/metrics", bearer("t"))
	require.Contains(t, body, "shoal_ready 0")
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func TestOnlyThoseWhoMayAreAnswered(t *testing.T) {
	b := broker(t)
	closed := serve(t, admin.Config{Broker: b, Token: "sesame", User: func(name, password string) bool { return name == "ann" && password == "pw" }})
	open := serve(t, admin.Config{Broker: b})
	for _, path := range []string{"/", "/page.js", "/metrics", "/api/v1/mqtt/stat/overall", "/api/v1/mqtt/stat/online"} {
		for _, tc := range []struct {
			name   string
			url    string
			change func(*http.Request)
			status int
		}{
			{"token", closed.URL, bearer("sesame"), http.StatusOK},
			{"wrong token", closed.URL, bearer("sesam"), http.StatusUnauthorized},
			{"no token", closed.URL, func(*http.Request) {}, http.StatusUnauthorized},
			{"user", closed.URL, func(r *http.Request) { r.SetBasicAuth("ann", "pw") }, http.StatusOK},
			{"wrong password", closed.URL, func(r *http.Request) { r.SetBasicAuth("ann", "x") }, http.StatusUnauthorized},
			{"this machine", open.URL, func(*http.Request) {}, http.StatusOK},
			{"by a name that a page of others may have", open.URL, func(r *http.Request) { r.Host = "evil.example" }, http.StatusForbidden},
		} {
			status, _ := get(t, tc.url+path, tc.change)
			require.Equal(t, tc.status, status, "%s %s", path, tc.name)
		}
	}
	h, err := admin.New(admin.Config{Broker: b})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://localhost/metrics", http.NoBody)
	r.RemoteAddr = "203.0.113.7:4711"
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusForbidden, w.Code, "from elsewhere")
}

func TestNothingCanBeChanged(t *testing.T) {
	s := serve(t, admin.Config{Broker: broker(t), Nodes: func() []admin.Node { return nil }})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		for _, path := range []string{"/metrics", "/api/v1/mqtt/stat/overall", "/api/v1/cluster/nodes", "/readyz"} {
			status, _ := get(t, s.URL+path, func(r *http.Request) { r.Method = method })
			require.Equal(t, http.StatusMethodNotAllowed, status)
		}
	}
}

func TestAllNodesAreAsked(t *testing.T) {
	other := serve(t, admin.Config{Broker: broker(t), Token: "t"})
	s := serve(t, admin.Config{Broker: broker(t), Token: "t", Self: "c01", Nodes: func() []admin.Node {
		return []admin.Node{{Name: "c01", Addr: "127.0.0.1", Port: 7946}, {Name: "c02", URL: other.URL}, {Name: "c03"}, {Name: "c04", URL: "http://127.0.0.1:1"}}
	}})
	_, body := get(t, s.URL+"/api/v1/cluster/stat/overall", bearer("t"))
	var told []struct{ URL, Data, Err string }
	require.NoError(t, json.Unmarshal([]byte(body), &told))
	require.Len(t, told, 4)
	for i := range 2 {
		require.Empty(t, told[i].Err)
		require.Contains(t, told[i].Data, `"clients_connected":0`)
	}
	require.Contains(t, told[2].Err, "c03: it has no info listener")
	require.NotEmpty(t, told[3].Err)
	_, body = get(t, s.URL+"/api/v1/cluster/stat/online", bearer("t"))
	require.NoError(t, json.Unmarshal([]byte(body), &told))
	require.Equal(t, "0\n", told[1].Data)
	_, body = get(t, s.URL+"/api/v1/cluster/nodes", bearer("t"))
	require.Contains(t, body, `{"name":"c01","addr":"127.0.0.1","port":7946,"tags":null}`)
}

func TestPageLoadsNothingFromElsewhere(t *testing.T) {
	s := serve(t, admin.Config{Broker: broker(t)})
	for _, path := range []string{"/", "/page.css", "/page.js"} {
		status, body := get(t, s.URL+path)
		require.Equal(t, http.StatusOK, status)
		require.NotContains(t, body, "http")
	}
}

func ExampleNew() {
	b, err := shoal.New(shoal.WithAnonymous())
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := admin.New(admin.Config{Broker: b, Token: "a secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/livez", http.NoBody))
	fmt.Println(w.Code)
	// Output: 200
}
