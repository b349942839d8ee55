package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/bridge/webhook"
	"github.com/shoalmq/shoal/examples/internal/programtest"
)

// hook is a server that takes the batches that are signed.
type hook struct {
	mu   sync.Mutex
	seen []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var b webhook.Batch
	if err != nil || r.Header.Get("X-Token") != "t" || webhook.Verify(r.Header, body, "s3cret", time.Minute) != nil || json.Unmarshal(body, &b) != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range b.Items {
		if i.Message != nil {
			h.seen = append(h.seen, i.Message.Topic+" "+string(i.Message.Payload))
		} else {
			h.seen = append(h.seen, i.Event.Event+" "+i.Event.Client)
		}
	}
}

func (h *hook) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.seen...)
}

// A webhook of the program's file gets what clients do and publish, also what was published while its server was away and the program was started again.
func TestWebhook(t *testing.T) {
	dir := t.TempDir()
	p := programtest.FreePorts(t, 2)
	addr := fmt.Sprint("127.0.0.1:", p[1])
	bridge := write(t, filepath.Join(dir, "hook.yml"), "url: http://"+addr+"/\nsecret-file: "+write(t, filepath.Join(dir, "secret"), "s3cret\n")+
		"\nheaders: ['X-Token: ${TOKEN}']\nfilters: [sensors/#]\nevents: [connected]\nretry-longest: 1s\n")
	conf := write(t, filepath.Join(dir, "x.yml"), "mqtt: {tcp: '127.0.0.1:"+fmt.Sprint(p[0])+"', ws: '', http: ''}\ndata-dir: "+dir+
		"\nbridge-way: 2\nbridge-path: "+bridge+"\n")
	env := []string{"TOKEN=t"}
	require.Zero(t, single.StartIn(t, dir, env, "-conf", conf, "-check").Exit(t))

	running := single.StartIn(t, dir, env, "-conf", conf)
	running.Await(t, "bridge to a webhook")
	running.Await(t, started)
	running.Await(t, "bridge has its session")
	client := programtest.ConnectURL(t, fmt.Sprintf("tcp://127.0.0.1:%d", p[0]), "dev", false)
	client.Publish("sensors/1", 1, false, "a")
	client.Publish("other", 1, false, "not concerned")
	running.Await(t, "does not take requests")
	client.Close()
	running.Interrupt(t)

	running = single.StartIn(t, dir, env, "-conf", conf)
	running.Await(t, started)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	require.NoError(t, err)
	h := new(hook)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	require.Eventually(t, func() bool { return len(h.all()) >= 2 }, wait, tick)
	require.Equal(t, "connected dev, sensors/1 a", strings.Join(h.all(), ", "))
	running.Interrupt(t)

	write(t, bridge, "url: ftp://x\n")
	bad := single.StartIn(t, dir, env, "-conf", conf, "-check")
	require.Equal(t, 2, bad.Exit(t))
	require.Contains(t, strings.Join(bad.Lines(), "\n"), "write it as https://example.org/path")
}
