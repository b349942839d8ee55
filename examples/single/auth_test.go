package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/examples/internal/programtest"
	"github.com/shoalmq/shoal/internal/testservers"
)

const comqttFiles = "../../internal/config/testdata/comqtt"

// comqttFile is one of comqtt's files with some of its values replaced, and a name for it.
func comqttFile(t *testing.T, name string, replaced ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(comqttFiles, name))
	require.NoError(t, err)
	for i := 0; i < len(replaced); i += 2 {
		require.Contains(t, string(content), replaced[i])
	}
	return write(t, filepath.Join(t.TempDir(), name), strings.NewReplacer(replaced...).Replace(string(content)))
}

// comqtt's auth-redis.yml, with the users and rules that its README has.
func TestComqttRedisUsers(t *testing.T) {
	server := testservers.Redis(t)
	for _, words := range [][]string{
		{"HSET", "comqtt-auth", "zhangsan", `'{"password":"321654","allow":true}'`},
		{"HSET", "comqtt-auth", "lisi", `'{"password":"321654","allow":false}'`},
	} {
		_, err := server.Redis(words...)
		require.NoError(t, err)
	}
	requireUsers(t, "1", comqttFile(t, "auth-redis.yml", "127.0.0.1:6379", server.Addr()))
}

// requireUsers starts a broker with a datasource that lets zhangsan in by his password, and nobody else.
func requireUsers(t *testing.T, datasource, path string) {
	t.Helper()
	port := programtest.FreePorts(t, 1)[0]
	p := single.Start(t, "-tcp", fmt.Sprint("127.0.0.1:", port), "-ws", "", "-http", "", "-auth-way", "1", "-auth-ds", datasource, "-auth-path", path)
	p.Await(t, started)
	require.NoError(t, connectAs(port, "zhangsan", "321654"))
	require.Error(t, connectAs(port, "zhangsan", "x"))
	require.Error(t, connectAs(port, "lisi", "321654"))
	require.Error(t, connectAs(port, "", ""))
	p.Interrupt(t)
}

// comqtt's blacklist.yml, which its single program never reads, before users of a file.
func TestComqttBlacklist(t *testing.T) {
	_, hash, _ := single.Output(t, "pw\n", "-hash-password")
	dir := t.TempDir()
	users := write(t, filepath.Join(dir, "users.yml"), "users: {ann: {password: '"+strings.TrimSpace(hash)+"', rules: [{allow: both, topic: '#'}]}}\n")
	list := write(t, filepath.Join(dir, "blacklist.yml"), "auth: [{username: ann, client: bad*, allow: false}]\n")
	port := programtest.FreePorts(t, 1)[0]
	conf := write(t, filepath.Join(dir, "x.yml"), "mqtt: {tcp: '127.0.0.1:"+strconv.Itoa(port)+"', ws: '', http: ''}\ndata-dir: "+dir+
		"\nauth: {way: 1, datasource: 5, conf-path: "+users+", blacklist-path: "+list+"}\n")
	p := single.Start(t, "-conf", conf)
	p.Await(t, started)
	require.NoError(t, connectAs(port, "ann", "pw"))
	write(t, list, "auth: [{username: ann, allow: false}]\n")
	p.Await(t, "blacklist.yml")
	require.Eventually(t, func() bool { return connectAs(port, "ann", "pw") != nil }, wait, tick)
	p.Interrupt(t)
}

const (
	wait = 20 * time.Second
	tick = 50 * time.Millisecond
)

// comqtt's auth-http.yml: a body of 1 lets in. The service is one over TLS, whose key in the file comqtt does not read.
func TestComqttHTTPService(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ User, Password string }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		switch {
		case strings.HasSuffix(r.URL.Path, "/acl"):
			_, _ = io.WriteString(w, `{"a/#":3}`)
		case asked.User == "zhangsan" && asked.Password == "321654":
			_, _ = io.WriteString(w, "1")
		default:
			_, _ = io.WriteString(w, "0")
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(service))
	defer plain.Close()
	requireUsers(t, "4", comqttFile(t, "auth-http.yml", "http://localhost:8080", plain.URL))

	secure := httptest.NewTLSServer(http.HandlerFunc(service))
	defer secure.Close()
	ca := write(t, filepath.Join(t.TempDir(), "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	requireUsers(t, "4", comqttFile(t, "auth-http.yml", "http://localhost:8080", secure.URL, "tls-enable: false", "tls-enable: true\ntls-ca: "+ca+"\n#"))
}
