package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/examples/internal/programtest"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestCommands(t *testing.T) {
	status, out, _ := single.Output(t, "", "-version")
	require.Zero(t, status)
	require.Contains(t, out, "shoal ")

	status, out, _ = single.Output(t, "secret\n", "-hash-password")
	require.Zero(t, status)
	require.True(t, strings.HasPrefix(out, "$argon2id$"), out)
	status, _, _ = single.Output(t, "\n", "-hash-password")
	require.Equal(t, 2, status)

	dir := t.TempDir()
	users := write(t, filepath.Join(dir, "users.yml"), "users: {ann: {password: '"+strings.TrimSpace(out)+"', rules: [{allow: both, topic: a/#}]}}\n")
	conf := write(t, filepath.Join(dir, "shoal.yml"), "auth: {way: 1, datasource: 5, conf-path: users.yml}\nredis: {options: {password: sesame}}\nmqtt: {options: {inline-client: true}}\n")
	status, out, errs := single.Output(t, "", "-conf", conf, "-check")
	require.Zero(t, status, errs)
	require.Contains(t, out, "mqtt.options.inline-client has no effect")
	require.Contains(t, out, "The configuration is good.")
	status, out, _ = single.Output(t, "", "-conf", conf, "-print-config")
	require.Zero(t, status)
	require.NotContains(t, out, "sesame")
	require.Contains(t, out, "auth.conf-path")

	write(t, users, "users: {ann: {pasword: x}}\n")
	status, _, errs = single.Output(t, "", "-conf", conf, "-check")
	require.Equal(t, 2, status)
	require.Contains(t, errs, "users.yml")
	require.Contains(t, errs, "pasword")
}

// connectAs returns the error of a CONNECT.
func connectAs(port int, user, password string) error {
	o := mqtt.NewClientOptions().AddBroker(fmt.Sprint("tcp://127.0.0.1:", port)).SetClientID("client-" + user).SetUsername(user).SetPassword(password).SetConnectRetry(false)
	c := mqtt.NewClient(o)
	token := c.Connect()
	token.WaitTimeout(10 * time.Second)
	defer c.Disconnect(0)
	return token.Error()
}

func TestReload(t *testing.T) {
	_, hash, _ := single.Output(t, "one\n", "-hash-password")
	_, other, _ := single.Output(t, "two\n", "-hash-password")
	port := programtest.FreePorts(t, 1)[0]
	dir := t.TempDir()
	users := "users: {ann: {password: '%s', rules: [{allow: both, topic: '#'}]}}\n"
	path := write(t, filepath.Join(dir, "users.yml"), fmt.Sprintf(users, strings.TrimSpace(hash)))
	settings := fmt.Sprintf("data-dir: %s\nmqtt: {tcp: ':%d', ws: '', http: ''}\nauth: {way: 1, datasource: 5, conf-path: users.yml}\n", dir, port)
	conf := write(t, filepath.Join(dir, "shoal.yml"), settings)
	p := single.Start(t, "-conf", conf)
	p.Await(t, started)
	require.NoError(t, connectAs(port, "ann", "one"))
	require.Error(t, connectAs(port, "ann", "two"))

	write(t, path, fmt.Sprintf(users, strings.TrimSpace(other)))
	write(t, conf, settings+"log: {level: debug}\nlimits: {subscriptions: 3}\n")
	p.Signal(t, syscall.SIGHUP)
	p.Await(t, "reloaded")
	p.Await(t, "needs_restart=[limits.subscriptions]")
	p.Await(t, "log.level")
	require.NoError(t, connectAs(port, "ann", "two"))

	write(t, conf, "mqtt: {tpc: x}\n")
	p.Signal(t, syscall.SIGHUP)
	p.Await(t, "not reloaded: the configuration has a mistake")
	p.Await(t, "did you mean")
	require.NoError(t, connectAs(port, "ann", "two"))
	p.Signal(t, syscall.SIGTERM)
	require.Zero(t, p.Exit(t))
	require.Contains(t, strings.Join(p.Lines(), "\n"), "stopped")
}

func TestInfoListener(t *testing.T) {
	ports := programtest.FreePorts(t, 2)
	p := single.Start(t, "-tcp", fmt.Sprint(":", ports[0]), "-ws", "", "-http", fmt.Sprint(":", ports[1]))
	p.Await(t, started)
	get := func(path string) (int, map[string]any) {
		a, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", ports[1], path))
		require.NoError(t, err)
		defer func() { _ = a.Body.Close() }()
		var body map[string]any
		_ = json.NewDecoder(a.Body).Decode(&body)
		return a.StatusCode, body
	}
	programtest.Connect(t, ports[0], "c", false)
	status, figures := get("/api/v1/mqtt/stat/overall")
	require.Equal(t, http.StatusOK, status)
	require.InDelta(t, 1, figures["clients_connected"], 0)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/"} {
		status, _ := get(path)
		require.Equal(t, http.StatusOK, status, path)
	}
	p.Interrupt(t)
}

func TestLogFiles(t *testing.T) {
	dir := t.TempDir()
	port := programtest.FreePorts(t, 1)[0]
	log, info, errs := filepath.Join(dir, "all.log"), filepath.Join(dir, "info.log"), filepath.Join(dir, "err.log")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	p := single.Start(t, "-tcp", fmt.Sprint(":", port), "-ws", "", "-http", taken.Addr().String(), "-log-output", "2", "-log-format", "json", "-log-file", log, "-info-file", info, "-error-file", errs)
	p.Await(t, started)
	p.Await(t, "no info listener: the address is already in use by another program; serving without it")
	p.Interrupt(t)
	read := func(path string) string {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(content)
	}
	require.Contains(t, read(log), `"msg":"shoal server started"`)
	require.Contains(t, read(log), "no info listener")
	require.NotContains(t, read(info), "no info listener")
	require.Contains(t, read(info), `"msg":"shoal server started"`)
	require.Contains(t, read(errs), "no info listener")
	require.NotContains(t, read(errs), "started")
}

// comqtt's single.yml, as it is, in a directory of its own; the ports are given by the environment, since others may use the file's.
func TestComqttSingle(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "config"), os.DirFS("../../internal/config/testdata/comqtt")))
	ports := programtest.FreePorts(t, 3)
	env := []string{fmt.Sprint("SHOAL_MQTT_TCP=:", ports[0]), fmt.Sprint("SHOAL_MQTT_WS=:", ports[1]), fmt.Sprint("SHOAL_MQTT_HTTP=:", ports[2])}
	p := single.StartIn(t, dir, env, "-conf", "./config/single.yml")
	p.Await(t, "shoal server started")
	p.Await(t, "these keys have no effect here")
	programtest.ConnectURL(t, fmt.Sprintf("ws://127.0.0.1:%d/any/path", ports[1]), "ws", false)
	sub := programtest.Connect(t, ports[0], "sub", true)
	sub.Subscribe("a", 1)
	programtest.Connect(t, ports[0], "pub", false).Publish("a", 1, false, "x")
	sub.Receive("a", "x")
	p.Interrupt(t)
	for _, file := range []string{"comqtt.db", "logs/comqtt.log"} {
		require.FileExists(t, filepath.Join(dir, file))
	}
}

// systemd is told when the program serves, and when it stops.
func TestNotifiesSystemd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	await := func(text string) {
		t.Helper()
		require.NoError(t, l.SetReadDeadline(time.Now().Add(20*time.Second)))
		for b := make([]byte, 1000); ; {
			n, err := l.Read(b)
			require.NoError(t, err, "no %s", text)
			if strings.Contains(string(b[:n]), text) {
				return
			}
		}
	}
	port := programtest.FreePorts(t, 1)[0]
	p := single.StartIn(t, "", []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=200000"}, "-tcp", fmt.Sprint(":", port), "-ws", "", "-http", "")
	await("READY=1")
	await("WATCHDOG=1")
	p.Signal(t, syscall.SIGHUP)
	await("RELOADING=1")
	await("READY=1")
	p.Signal(t, syscall.SIGTERM)
	await("STOPPING=1")
	require.Zero(t, p.Exit(t))
}
