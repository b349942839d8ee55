package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
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

// await waits until something holds.
func await(t *testing.T, what func() bool) {
	t.Helper()
	require.Eventually(t, what, 30*time.Second, 20*time.Millisecond)
}

// exchange has a message go from one node's client to another's, and a persistent session move. Each
// pair of nodes has a session of its own: Paho's Disconnect does not wait for the acknowledgement of
// the last message, which the same session would then get again.
func exchange(t *testing.T, from, to int) {
	t.Helper()
	walker := fmt.Sprintf("walker-%d-%d", from, to)
	sub := programtest.Connect(t, to, walker, true)
	sub.Subscribe("walk/#", 1)
	pub := programtest.Connect(t, from, "talker", false)
	pub.Publish("walk/on", 1, false, "hello")
	sub.Receive("walk/on", "hello")
	sub.Close()
	pub.Publish("walk/later", 1, false, "kept")
	moved := programtest.Connect(t, from, walker, true)
	require.True(t, moved.SessionPresent)
	moved.Receive("walk/later", "kept")
	moved.Close()
	pub.Close()
}

// The walk-through of comqtt's README, command by command: three nodes on one machine, the second and third with the first as their seed, and a
// fourth that is added later; by flags as they are printed there, but for the ports. The third node's -http is the first one's -ws, as it is printed.
func TestWalkThroughByFlags(t *testing.T) {
	for name, more := range map[string]func(t *testing.T) []string{
		"embedded": func(*testing.T) []string { return nil },
		"redis": func(t *testing.T) []string {
			return []string{"--storage-way=3", "--redis=" + testservers.Redis(t).Addr()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			flags := append(more(t), "--data-dir="+t.TempDir())
			p := programtest.FreePorts(t, 22)
			port := func(i int) string { return strconv.Itoa(p[i]) }
			grpc := func(i int) string { return "--grpc-port=" + port(18+i) }
			nodes := [][]string{
				{"--node-name=c01", "--gossip-port=" + port(0), "--raft-port=" + port(1), "--raft-bootstrap=true", "--tcp=:" + port(2), "--ws=:" + port(3), "--http=:" + port(4), grpc(0)},
				{"--node-name=c02", "--gossip-port=" + port(5), "--raft-port=" + port(6), "--members=localhost:" + port(0), "--tcp=:" + port(7), "--ws=:" + port(8), "--http=:" + port(9), grpc(1)},
				{"--node-name=c03", "--gossip-port=" + port(10), "--raft-port=" + port(11), "--members=localhost:" + port(0), "--tcp=:" + port(12), "--ws=:" + port(13), "--http=:" + port(3), grpc(2)},
				{"--node-name=c04", "--gossip-port=" + port(14), "--raft-port=" + port(15), "--members=localhost:" + port(5), "--tcp=:" + port(16), "--ws=:" + port(17), "--http=", grpc(3)},
			}
			var running []*programtest.Process
			for i, args := range nodes[:3] {
				running = append(running, binary.Start(t, append(args, flags...)...))
				running[i].Await(t, started)
			}
			first := running[0]
			for _, line := range []string{
				"INF shoal initializing", "INF storage where=", "everyone is let in", "INF cluster node created", "INF found leader leader=c01",
				fmt.Sprintf("attached listener address=127.0.0.1:%s protocol=tcp", port(2)), fmt.Sprintf("attached listener address=127.0.0.1:%s protocol=ws", port(3)),
				fmt.Sprintf("attached listener address=127.0.0.1:%s protocol=http", port(4)), "node joined node=c02", "node joined node=c03",
			} {
				first.Await(t, line)
			}
			running[2].Await(t, "no info listener: the address is already in use by another program; serving without it")
			exchange(t, p[2], p[12])
			exchange(t, p[7], p[2])

			running = append(running, binary.Start(t, append(nodes[3], flags...)...))
			running[3].Await(t, started)
			first.Await(t, "node joined node=c04")
			exchange(t, p[16], p[7])
			requireNodes(t, p[4], p[9])
			for _, r := range running {
				r.Interrupt(t)
			}
			t.Logf("the first node:\n%s", strings.Join(first.Lines(), "\n"))
		})
	}
}

// requireNodes asks the first node for all nodes and their figures, as comqtt's API has them.
func requireNodes(t *testing.T, infoPort, otherInfo int) {
	t.Helper()
	get := func(path string, into any) {
		a, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", infoPort, path))
		require.NoError(t, err)
		defer func() { _ = a.Body.Close() }()
		require.NoError(t, json.NewDecoder(a.Body).Decode(into))
	}
	var nodes []struct {
		Name, Addr string
		Port       int
		Tags       map[string]string
	}
	get("/api/v1/cluster/nodes", &nodes)
	require.Len(t, nodes, 4)
	require.Equal(t, "c01", nodes[0].Name)
	require.Equal(t, "127.0.0.1", nodes[0].Addr)
	require.Equal(t, strconv.Itoa(infoPort), nodes[0].Tags["http-port"])
	require.NotZero(t, nodes[0].Port)
	var told []struct{ URL, Data, Err string }
	get("/api/v1/cluster/stat/overall", &told)
	require.Len(t, told, 4)
	require.Contains(t, told[1].URL, strconv.Itoa(otherInfo))
	for _, n := range told[:2] {
		require.Empty(t, n.Err)
		require.Contains(t, n.Data, `"clients_total"`)
	}
	require.Contains(t, told[3].Err, "no info listener")
}

// comqttFiles is a directory with comqtt's files, and what stands for the ports and servers in them, which others may use.
func comqttFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "config"), os.DirFS("../../internal/config/testdata/comqtt")))
	return dir
}

// The same by comqtt's files, as they are: node1.yml to node3.yml, and those of its containers, with 0.0.0.0 to bind to. Ports, addresses of members and of Redis come from
// the environment.
func TestWalkThroughByFiles(t *testing.T) {
	for name, files := range map[string][3]string{
		"nodes":      {"node1.yml", "node2.yml", "node3.yml"},
		"containers": {"docker-n1.yml", "docker-n2.yml", "docker-n3.yml"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := comqttFiles(t)
			redis := testservers.Redis(t)
			p := programtest.FreePorts(t, 18)
			members := fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", p[0], p[6], p[12])
			var running []*programtest.Process
			for i, file := range files {
				n := p[6*i:]
				env := []string{
					"SHOAL_CLUSTER_MEMBERS=" + members, "SHOAL_REDIS_OPTIONS_ADDR=" + redis.Addr(), "SHOAL_CLUSTER_RAFT_DIR=" + filepath.Join(dir, "data", strconv.Itoa(i)),
					fmt.Sprint("SHOAL_CLUSTER_BIND_PORT=", n[0]), fmt.Sprint("SHOAL_CLUSTER_RAFT_PORT=", n[1]), fmt.Sprint("SHOAL_CLUSTER_GRPC_PORT=", n[2]),
					fmt.Sprint("SHOAL_MQTT_TCP=:", n[3]), fmt.Sprint("SHOAL_MQTT_WS=:", n[4]), fmt.Sprint("SHOAL_MQTT_HTTP=:", n[5]),
				}
				running = append(running, binary.StartIn(t, dir, env, "--conf=./config/"+file))
				running[i].Await(t, started)
				running[i].Await(t, "these keys have no effect here")
				if name == "containers" {
					running[i].Await(t, "other nodes are told an address that was chosen; -advertise chooses another address=127.0.0.1")
				}
			}
			exchange(t, p[3], p[15])
			exchange(t, p[9], p[3])
			for _, r := range running {
				r.Interrupt(t)
			}
		})
	}
}

// What somebody sees who makes a mistake: one clear line, soon.
func TestMistakes(t *testing.T) {
	dir := comqttFiles(t)
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "x.yml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	locked := filepath.Join(dir, "somebody-else")
	require.NoError(t, os.WriteFile(locked, nil, 0o400))
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"a port that is taken", []string{"-node-name", "c01", "-tcp", taken.Addr().String()}, 1, "is already in use by another program: stop it, or choose another address (-tcp)"},
		{"a wrong key", []string{"-conf", file("clutser: {}\n")}, 2, `:1:1: there is no key "clutser"; did you mean "cluster"?`},
		{"a key in a wrong place", []string{"-conf", file("bind-port: 1\n")}, 2, `did you mean "cluster.bind-port", in another place?`},
		{"a wrong value", []string{"-conf", file("storage-way: redis\n")}, 2, `:1:14: storage-way: "redis" is not a whole number`},
		{"no such file", []string{"-conf", "nowhere.yml"}, 2, "open nowhere.yml: no such file or directory"},
		{"a file that another names is missing", []string{"-conf", file("auth: {way: 1, datasource: 1, conf-path: ./config/x.yml}\n")}, 2, "auth.conf-path in"},
		{"no name", []string{"-members", "127.0.0.1:7946"}, 2, "add -node-name"},
		{"members without a port", []string{"-node-name", "c01", "-members", "192.0.2.1"}, 2, `-members: "192.0.2.1" is not host:port`},
		{"authentication without a source", []string{"-node-name", "c01", "-auth-way", "1"}, 2, "nobody could connect; choose 1 to 5"},
		{"a value that does not exist", []string{"-node-name", "c01", "-storage-way", "4"}, 2, "-storage-way: 4 is none of 0 to 3"},
		{"a flag that does not exist", []string{"-gosip-port", "1"}, 2, "did you mean -gossip-port?"},
		{"no directory for data", []string{"-node-name", "c01", "-data-dir", filepath.Join(locked, "x"), "-tcp", ":" + strconv.Itoa(programtest.FreePorts(t, 1)[0])}, 1, "-data-dir: mkdir"},
		{"half of a certificate", []string{"-conf", file("cluster: {node-name: c01}\nmqtt: {tls: {server-cert: " + locked + "}}\n")}, 2, "belong together, and one of them is missing"},
		{"a certificate that is none", []string{"-conf", file("cluster: {node-name: c01}\nmqtt: {tls: {server-cert: " + locked + ", server-key: " + locked + "}}\n")}, 1, "failed to find any PEM data"},
		{"a bridge with a wrong value", []string{"-conf", file("cluster: {node-name: c01}\nbridge-way: 1\nbridge-path: " + file("kafka-options: {topic: t, required-acks: 2}\n") + "\n")}, 2, "required-acks: 2 is none of -1 to 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			began := time.Now()
			status, _, said := binary.Output(t, "", tc.args...)
			require.Equal(t, tc.status, status, said)
			lines := strings.Split(strings.TrimSpace(said), "\n")
			line := lines[len(lines)-1]
			if status == 2 {
				line = lines[0]
			}
			require.Contains(t, line, tc.says)
			t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), line)
		})
	}
}

// A node that cannot reach its members, or finds another of its name, or whose Redis is away, says so, and goes on when that is over.
func TestGoesOnWhenWhatIsMissingComes(t *testing.T) {
	members := newMembers(t, 2)
	first, second := members[0], members[1]
	second.start(t)
	second.Await(t, "waiting for the cluster")
	first.start(t)
	first.Await(t, started)
	second.Await(t, started)

	double := newMembers(t, 2)[1]
	double.args[1] = nodeName(1)
	for i, a := range double.args {
		if a == "-members" {
			double.args[i+1] = first.gossip
		}
	}
	double.start(t)
	await(t, func() bool {
		return strings.Contains(strings.Join(double.Lines(), "\n"), "ERR") && strings.Contains(strings.Join(double.Lines(), "\n"), nodeName(1))
	})
	double.Interrupt(t)
	exchange(t, first.tcp, second.tcp)
	second.Interrupt(t)
	first.Interrupt(t)
}
