package config_test

import (
	"bytes"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/config"
)

var (
	single = config.Program{Name: "single"}
	node   = config.Program{Name: "cluster", Cluster: true}
)

func load(t *testing.T, p config.Program, args []string, environ ...string) *config.Loaded {
	t.Helper()
	l, err := config.Load(p, args, environ, new(bytes.Buffer))
	require.NoError(t, err)
	return l
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shoal.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// comqtt is a directory with its files as they are found in its repository: cmd/config/x.yml names ./config/y.yml.
func comqtt(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/comqtt")))
	return dir
}

func TestComqttFiles(t *testing.T) {
	dir := comqtt(t)
	for _, tc := range []struct {
		file    string
		program config.Program
		args    []string
		check   func(t *testing.T, l *config.Loaded)
	}{
		{"single.yml", single, nil, func(t *testing.T, l *config.Loaded) {
			require.Equal(t, 1, l.StorageWay)
			require.Equal(t, "comqtt.db", l.StoragePath)
			require.Equal(t, ":1883", l.MQTT.TCP)
			require.Equal(t, 1, l.MQTT.Options.SysTopicResendInterval)
			require.Equal(t, 30, l.Log.MaxAge, "max-age, which comqtt does not read")
			require.Equal(t, 10, l.Log.MaxBackups)
			require.Empty(t, l.MQTT.QUIC, "quic is listened on only when asked")
		}},
		{"node1.yml", node, nil, func(t *testing.T, l *config.Loaded) {
			require.Equal(t, "c01", l.Cluster.NodeName)
			require.True(t, l.Cluster.RaftBootstrap)
			require.Equal(t, []string{"127.0.0.1:7946"}, l.Cluster.Members)
			require.Equal(t, "data/c01", l.Cluster.RaftDir)
			require.Equal(t, 3, l.StorageWay)
			require.Equal(t, "comqtt", l.Redis.Prefix)
		}},
		{"node2.yml", node, nil, func(t *testing.T, l *config.Loaded) {
			require.Equal(t, 7947, l.Cluster.BindPort)
			require.Equal(t, 17947, l.Cluster.GRPCPort)
		}},
		{"node3.yml", node, nil, func(t *testing.T, l *config.Loaded) { require.Equal(t, ":1887", l.MQTT.TCP) }},
		{"docker-n1.yml", node, nil, func(t *testing.T, l *config.Loaded) {
			require.Equal(t, "0.0.0.0", l.Cluster.BindAddr)
			require.Equal(t, 17946, l.Cluster.GRPCPort, "not in the file")
			require.Equal(t, 2, l.MQTT.Options.Capabilities.MaximumQoS, "not in the file")
			require.Equal(t, 3, l.MQTT.Options.Capabilities.MinimumProtocolVersion)
			level, err := l.LogLevel()
			require.NoError(t, err)
			require.Equal(t, slog.LevelDebug, level)
		}},
		{"docker-n2.yml", node, nil, func(t *testing.T, l *config.Loaded) { require.Equal(t, "comqtt2", l.Cluster.NodeName) }},
		{"docker-n3.yml", node, nil, func(t *testing.T, l *config.Loaded) { require.False(t, l.Cluster.RaftBootstrap) }},
		{"conf.yml", node, nil, func(t *testing.T, l *config.Loaded) {
			require.Equal(t, ":2000", l.MQTT.QUIC)
			require.Equal(t, 18946, l.Cluster.GRPCPort)
		}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			if tc.file == "conf.yml" { // it is meant for a start in the directory above, and asks for QUIC without a certificate
				t.Chdir(filepath.Dir(dir))
				require.NoError(t, os.MkdirAll("cmd/config", 0o700))
				require.NoError(t, os.CopyFS("cmd/config", os.DirFS(dir)))
			}
			tc.check(t, load(t, tc.program, append(tc.args, "-conf", filepath.Join(dir, tc.file))))
		})
	}
}

func TestDatasources(t *testing.T) {
	dir := comqtt(t)
	for datasource, want := range map[string]func(t *testing.T, f any){
		"1 auth-redis.yml": func(t *testing.T, f any) {
			r := f.(*config.AuthRedis)
			require.Equal(t, "comqtt-auth", r.AuthPrefix)
			require.Equal(t, 2, r.ACLMode)
		},
		"2 auth-mysql.yml": func(t *testing.T, f any) {
			m := f.(*config.AuthSQL)
			require.Equal(t, "12345678", m.DSN.LoginPassword)
			require.Equal(t, "utf8", m.DSN.Charset)
		},
		"3 auth-postgresql.yml": func(t *testing.T, f any) { require.Equal(t, "disable", f.(*config.AuthSQL).DSN.SSLMode) },
		"4 auth-http.yml": func(t *testing.T, f any) {
			require.Equal(t, "http://localhost:8080/comqtt/auth", f.(*config.AuthHTTP).AuthURL)
		},
	} {
		t.Run(datasource, func(t *testing.T) {
			number, name, _ := strings.Cut(datasource, " ")
			l := load(t, single, []string{"-auth-way", "1", "-auth-ds", number, "-auth-path", filepath.Join(dir, name)})
			f, err := l.Datasource()
			require.NoError(t, err)
			want(t, f)
		})
	}
	l := load(t, single, []string{"-conf", file(t, "bridge-way: 1\nbridge-path: "+filepath.Join(dir, "bridge-kafka.yml"))})
	bridge := func(l *config.Loaded) (*config.BridgeKafka, error) {
		f, err := l.Bridge()
		k, _ := f.(*config.BridgeKafka)
		return k, err
	}
	k, err := bridge(l)
	require.NoError(t, err)
	require.Equal(t, []string{"testtopic/3"}, k.Rules.Topics)
	path := file(t, "kafka-options: {required-acks: -1}")
	l = load(t, single, []string{"-conf", file(t, "bridge-way: 1\nbridge-path: "+path)})
	k, err = bridge(l)
	require.NoError(t, err)
	require.Equal(t, -1, k.Kafka.RequiredAcks)
	secret := file(t, "from a file\n")
	for text, want := range map[string]string{
		"kafka-options: {required-acks: 2}":                   "required-acks: 2 is none of -1 to 1",
		"kafka-options: {format: xml}":                        `kafka-options.format: "xml" is none of`,
		"kafka-options: {sasl-pasword: x}":                    `:1:17: there is no key "kafka-options.sasl-pasword"; did you mean`,
		"out: [{filters: [a], topic: t, format: comqtt}]":     `out[0].format: "comqtt" is none of`,
		"in: [{topics: [a], group: g, qos: 3}]":               "in[0].qos: 3 is none of 0 to 2",
		"kafka-options: {sasl-password-file: " + secret + "}": "",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		k, err = bridge(l)
		if want != "" {
			require.ErrorContains(t, err, want)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "from a file", k.Kafka.Password)
	}
}

func TestPrecedence(t *testing.T) {
	f := file(t, "mqtt: {tcp: ':1'}\nlog: {level: warn}\n")
	require.Equal(t, ":1883", load(t, single, nil).MQTT.TCP)
	require.Equal(t, ":1", load(t, single, []string{"-conf", f}).MQTT.TCP)
	require.Equal(t, ":1", load(t, single, nil, "SHOAL_CONF="+f).MQTT.TCP)
	require.Equal(t, ":2", load(t, single, []string{"-conf", f}, "SHOAL_MQTT_TCP=:2").MQTT.TCP)
	l := load(t, single, []string{"-conf", f, "--tcp=:3"}, "SHOAL_MQTT_TCP=:2")
	require.Equal(t, ":3", l.MQTT.TCP)
	require.Equal(t, "warn", l.Log.Level, "a flag replaces one value, not the file")
	require.Equal(t, "-tcp", l.GivenBy("mqtt.tcp"))
	require.Equal(t, "log.level in "+f+":2", l.GivenBy("log.level"))
}

func TestMistakesInFiles(t *testing.T) {
	for _, tc := range []struct{ text, says string }{
		{"mqtt:\n  tpc: :1883\n", `:2:3: there is no key "mqtt.tpc"; did you mean "mqtt.tcp"?`},
		{"storage-wya: 1\n", `:1:1: there is no key "storage-wya"; did you mean "storage-way"?`},
		{"node-name: c01\n", `did you mean "cluster.node-name", in another place?`},
		{"zzz: 1\n", `:1:1: there is no key "zzz"`},
		{"storage-way: many\n", `:1:14: storage-way: "many" is not a whole number`},
		{"mqtt: 7\n", ":1:7: mqtt is not a list of keys with values"},
		{"mqtt:\n  tcp: [a]\n", ":2:8: mqtt.tcp is not a single value"},
		{"mqtt: {tcp: ':1'}\nmqtt: {ws: ':2'}\n", `the key "mqtt" is there already, in line 1`},
		{"storage-way: 9\n", "storage-way in "},
		{"redis: {options: {password: '${NO_SUCH}'}}\n", `"${NO_SUCH}" is not set`},
		{"redis: {options: {password-file: /nowhere/x}}\n", "there is no file /nowhere/x"},
		{"mqtt: {tls: {server-cert: a.pem}}\n", "there is no file a.pem"},
		{"auth: {way: 1}\n", "nobody could connect"},
		{"listeners: [{address: 'ftp://x'}]\n", `listeners[0].address: "ftp://x" is no URL`},
		{"listeners: [{addresss: 'tcp://:1'}]\n", `there is no key "listeners[0].addresss"; did you mean "listeners[0].address"?`},
		{"mqtt:\n\ttcp: x\n", "found character that cannot start any token"},
		{"limits: {connect-timeout: 5}\n", `"5" is not a time such as 30s`},
		{"log: {level: loud}\n", `"loud" is none of debug, info, warn, error`},
		{"mqtt: {tcp: '', ws: ''}\n", "-tcp and -ws are both empty"},
	} {
		_, err := config.Load(single, []string{"-conf", file(t, tc.text)}, nil, new(bytes.Buffer))
		require.ErrorContains(t, err, tc.says, tc.text)
		require.ErrorAs(t, err, new(*config.UsageError), tc.text)
	}
	_, err := config.Load(single, []string{"-conf", file(t, "a: 1\nb: 1\nstorage-way: x\n")}, nil, new(bytes.Buffer))
	require.Equal(t, 3, strings.Count(err.Error(), ".yml:"), "all mistakes are reported together: %v", err)
}

func TestPartialCapabilitiesKeepDefaults(t *testing.T) {
	c := load(t, single, []string{"-conf", file(t, "mqtt: {options: {capabilities: {maximum-qos: 1, retain-available: 0}}}")}).MQTT.Options.Capabilities
	require.Equal(t, 1, c.MaximumQoS)
	require.False(t, c.RetainAvailable)
	require.True(t, c.WildcardSubAvailable)
	require.EqualValues(t, 1024, c.ReceiveMaximum)
	require.EqualValues(t, 4294967295, c.MaximumSessionExpiryInterval)
}

func TestDeadKeysAreNamed(t *testing.T) {
	l := load(t, single, []string{"-conf", file(t, `
cluster: {node-name: x, whatever: 1}
auth-way: 0
mqtt: {options: {inline-client: true, capabilities: {compatibilities: {obscure-not-authorized: true}}}}
log: {sampler: {burst: 1}}
`)})
	var keys []string
	for _, d := range l.Dead {
		keys = append(keys, d.Key)
		require.NotEmpty(t, d.Reason)
		require.Contains(t, d.Where, "shoal.yml:")
	}
	require.ElementsMatch(t, []string{"cluster", "mqtt.options.inline-client", "mqtt.options.capabilities.compatibilities.obscure-not-authorized", "log.sampler"}, keys)
}

func TestOlderLevels(t *testing.T) {
	for _, tc := range []struct {
		args []string
		text string
		want slog.Level
	}{
		{nil, "", slog.LevelInfo},
		{[]string{"-level", "0"}, "", slog.LevelDebug},
		{[]string{"-level", "3"}, "", slog.LevelError},
		{[]string{"-level", "3", "-log-level", "debug"}, "", slog.LevelDebug},
		{nil, "log: {level: 4}", slog.LevelWarn},
		{nil, "log: {level: 1, info-file: x, error-file: y}", slog.LevelInfo},
		{nil, "log: {level: -4}", slog.LevelDebug},
	} {
		args := tc.args
		if tc.text != "" {
			args = append(args, "-conf", file(t, tc.text))
		}
		level, err := load(t, single, args).LogLevel()
		require.NoError(t, err)
		require.Equal(t, tc.want, level, tc)
	}
	level, err := load(t, single, []string{"-log-enable=false"}).LogLevel()
	require.NoError(t, err)
	require.Greater(t, level, slog.LevelError)
}

func TestSecretsAreReadAndMasked(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pw"), []byte("from-file\n"), 0o600))
	l := load(t, single, []string{"-conf", file(t, "storage-url: 'redis://u:sesame@h/0'\nmqtt: {info: {token: '${TOKEN}'}}\nredis: {options: {username: '$${x', password-file: "+filepath.Join(dir, "pw")+"}}")}, "TOKEN=from-env")
	require.Equal(t, "from-file", l.Redis.Options.Password)
	require.Equal(t, "from-env", l.MQTT.Info.Token)
	require.Equal(t, "${x", l.Redis.Options.Username)
	var out bytes.Buffer
	require.NoError(t, l.Print(&out))
	for _, secret := range []string{"from-file", "from-env", "sesame"} {
		require.NotContains(t, out.String(), secret)
	}
	require.Regexp(t, `(?m)^mqtt\.info\.token +"\(secret\)" +# .*shoal.yml:2$`, out.String())
	require.Regexp(t, `(?m)^mqtt\.tcp +":1883" +# default$`, out.String())
	require.NotContains(t, out.String(), "cluster.node-name", "a single broker has none")
}

func TestPathsAreFoundBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "config"), 0o700))
	for _, name := range []string{"above.pem", "config/beside.pem"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	conf := filepath.Join(dir, "config", "x.yml")
	require.NoError(t, os.WriteFile(conf, []byte("mqtt: {tls: {server-cert: ./above.pem, server-key: beside.pem}}"), 0o600))
	l := load(t, single, []string{"-conf", conf})
	require.Equal(t, filepath.Join(dir, "above.pem"), l.MQTT.TLS.ServerCert)
	require.Equal(t, filepath.Join(dir, "config", "beside.pem"), l.MQTT.TLS.ServerKey)
	t.Chdir(filepath.Join(dir, "config"))
	require.NoError(t, os.WriteFile("above.pem", nil, 0o600))
	require.Equal(t, "./above.pem", load(t, single, []string{"-conf", conf}).MQTT.TLS.ServerCert, "the working directory comes first")
}

func TestEnvironment(t *testing.T) {
	l := load(t, node, nil, "SHOAL_CLUSTER_NODE_NAME=c09", "SHOAL_CLUSTER_MEMBERS=a:1, b:2", "SHOAL_DRAIN_TIMEOUT=3s", "SHOAL_MQTT_TPC=x")
	require.Equal(t, []string{"a:1", "b:2"}, l.Cluster.Members)
	require.Equal(t, 3*time.Second, l.DrainTimeout)
	require.Equal(t, []string{"environment variable SHOAL_MQTT_TPC belongs to no key; did you mean SHOAL_MQTT_TCP?"}, l.Notes)
	_, err := config.Load(node, nil, []string{"SHOAL_STORAGE_WAY=x"}, new(bytes.Buffer))
	require.ErrorContains(t, err, "environment variable SHOAL_STORAGE_WAY: \"x\" is not a whole number")
}

func TestFlags(t *testing.T) {
	// As in the walk-through of comqtt, and with all flags of its older releases.
	l := load(t, node, strings.Fields("--node-name=c02 --gossip-port=7947 --raft-port=8947 --members=localhost:7946 --tcp=:1885 --ws=:1886 --http=:1881"+
		" -log-enable -level 1 -env 1 -error-file e -info-file i -redis r:1 -redis-db 2 -redis-pass p -grpc-enable -nodes-file-dir x -raft-log-level warn -log-file f -auth-way 0 -auth-ds 0 -bind-ip 127.0.0.1"))
	require.Equal(t, "c02", l.Cluster.NodeName)
	require.Equal(t, 17947, l.Cluster.GRPCPort)
	require.Equal(t, "r:1", l.Redis.Options.Addr)
	require.Equal(t, "-nodes-file-dir", l.Dead[0].Key)

	for _, tc := range []struct{ args, says string }{
		{"-nodename c01", "there is no flag -nodename; did you mean -node-name?"},
		{"-zz", "there is no flag -zz"},
		{"-storage-way", "flag needs an argument"},
		{"-storage-way x", `-storage-way: "x" is not a whole number`},
		{"-raft-bootstrap true", `unexpected argument "true"`},
		{"-tcp :1884", "add -node-name"},
		{"-node-name c01 -storage bolt", `-storage: "bolt" is no URL of a Redis`},
		{"-node-name c01 -storage redis://x -storage-way 1", "-storage-way: it is 1, and -storage means 3"},
	} {
		_, err := config.Load(node, strings.Fields(tc.args), nil, new(bytes.Buffer))
		require.ErrorContains(t, err, tc.says, tc.args)
	}
}

func TestHelpFitsAndIsComplete(t *testing.T) {
	for _, p := range []config.Program{single, node} {
		var out bytes.Buffer
		_, err := config.Load(p, []string{"-h"}, nil, &out)
		require.ErrorIs(t, err, flag.ErrHelp)
		for line := range strings.Lines(out.String()) {
			require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), 100, line)
		}
		for _, name := range []string{"-conf", "-check", "-storage-way", "-log-level", "(default 127.0.0.1:6379)", "Exit status"} {
			require.Contains(t, out.String(), name)
		}
		require.Equal(t, p.Cluster, strings.Contains(out.String(), "-raft-bootstrap"))
	}
}

// schema.json is made by this package: UPDATE=1 go test writes it anew.
func TestSchemaIsThatOfTheCode(t *testing.T) {
	want, err := config.Schema()
	require.NoError(t, err)
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile("schema.json", want, 0o600))
	}
	have, err := os.ReadFile("schema.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "run UPDATE=1 go test -run TestSchema")
	want, err = config.BridgeSchema()
	require.NoError(t, err)
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile("schema-bridge.json", want, 0o600))
	}
	bridge, err := os.ReadFile("schema-bridge.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(bridge), "run UPDATE=1 go test -run TestSchema")
	require.Contains(t, string(bridge), `"required-acks"`)
	want, err = config.WebhookSchema()
	require.NoError(t, err)
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile("schema-webhook.json", want, 0o600))
	}
	webhook, err := os.ReadFile("schema-webhook.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(webhook), "run UPDATE=1 go test -run TestSchema")
	require.Contains(t, string(webhook), `"retry-longest"`)
	for _, key := range []string{`"max-age"`, `"compatibilities"`, `"sampler"`, `"listeners"`} {
		require.Contains(t, string(have), key)
	}
}

// The file of a webhook has its secrets from files, its headers as HTTP has them, and errors that name the key.
func TestWebhookFile(t *testing.T) {
	secret, headers := file(t, "from a file\n"), file(t, "X-A: 1\r\nX-A: 2\n\n")
	path := file(t, "{url: 'https://x/y', secret-file: "+secret+", headers: ['Authorization: Bearer x:y'], headers-file: "+headers+
		", filters: [a/#], events: [connected], linger: 20ms}")
	l := load(t, single, []string{"-conf", file(t, "bridge-way: 2\nbridge-path: "+path)})
	f, err := l.Bridge()
	require.NoError(t, err)
	w := f.(*config.BridgeWebhook)
	require.Equal(t, "from a file", w.Secret)
	require.Equal(t, http.Header{"Authorization": {"Bearer x:y"}, "X-A": {"1", "2"}}, w.Header())
	require.Equal(t, 20*time.Millisecond, w.Linger)
	require.Equal(t, []any{100, 1 << 20, 10 * time.Second, 30 * time.Second}, []any{w.Batch, w.BatchBytes, w.Timeout, w.RetryLongest})
	for text, want := range map[string]string{
		"ulr: x":                    `:1:1: there is no key "ulr"; did you mean "url"`,
		"headers: [x]":              `header 1 is not of the form "Name: value"`,
		"qos: 0":                    "qos: 0 is none of 1 to 2",
		"batch: 0":                  "batch: 0 is none of 1 to 10000",
		"secret-file: /nonexistent": "secret-file: ",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err = l.Bridge()
		require.ErrorContains(t, err, want)
	}
}

func FuzzFile(f *testing.F) {
	entries, err := os.ReadDir("testdata/comqtt")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join("testdata", "comqtt", e.Name()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "x.yml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range []config.Program{single, node} { // an error or a configuration, and no panic
			_, _ = config.Load(p, []string{"-conf", path}, nil, new(bytes.Buffer))
		}
	})
}

// FuzzOtherFiles reads files that the main one names: of bridges and of datasources.
func FuzzOtherFiles(f *testing.F) {
	for _, name := range []string{"bridge-kafka.yml", "auth-redis.yml", "auth-mysql.yml", "auth-postgresql.yml", "auth-http.yml"} {
		content, err := os.ReadFile(filepath.Join("testdata", "comqtt", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte("url: https://x\nheaders: ['A: b', ':']\nfilters: [a/#]\nlinger: 5ms\nbatch-bytes: -1\nsecret-file: .\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "x.yml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for way := config.BridgeToKafka; way <= config.BridgeToWebhook; way++ {
			l := config.Loaded{Config: config.Config{BridgeWay: way, BridgePath: path}, Program: single}
			if b, err := l.Bridge(); err == nil && b == nil {
				t.Fatal("neither a bridge nor an error")
			}
		}
		for source := config.DatasourceRedis; source <= config.DatasourceHTTP; source++ {
			l := config.Loaded{Config: config.Config{Auth: config.Auth{Way: 1, Datasource: source, ConfPath: path}}, Program: single}
			_, _ = l.Datasource() // an error or a configuration, and no panic
		}
	})
}

func TestPortsFollowTheGossipPort(t *testing.T) {
	c := load(t, node, []string{"-node-name", "c02", "--gossip-port=7947", "--members=localhost:7946"}).Cluster
	require.Equal(t, 8947, c.RaftPort)
	require.Equal(t, 17947, c.GRPCPort)
	l := load(t, node, []string{"-node-name", "c01", "-raft-bootstrap=true", "-tcp", "1884", "-ws", ""})
	require.Equal(t, 8946, l.Cluster.RaftPort)
	require.True(t, l.Cluster.RaftBootstrap)
	require.Equal(t, ":1884", l.MQTT.TCP)
	require.True(t, l.IsNode())
	require.False(t, load(t, node, []string{"-data-dir", "d", "-log-level", "warn"}).IsNode(), "that is the demonstration")
}
