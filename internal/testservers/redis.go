package testservers

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Redis starts a Redis server that keeps its data in a directory of the test. args are further
// options, such as "--cluster-enabled", "yes".
func Redis(t testing.TB, args ...string) *Server {
	t.Helper()
	s := newServer(t, "redis-server")
	s.args = append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "yes",
		"--appendfsync", "always",
	}, args...)
	s.ready = s.answersPing
	s.begin()
	return s
}

// RedisTLS starts a Redis server that speaks TLS only, and asks clients for a certificate by the
// authority in the file ca. cert and key are the server's own, in PEM files.
func RedisTLS(t testing.TB, cert, key, ca string) *Server {
	t.Helper()
	s := newServer(t, "redis-server")
	s.args = []string{
		"--port", "0", "--tls-port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "",
		"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca,
	}
	s.begin()
	return s
}

// answersPing says that Redis has loaded its data.
func (s *Server) answersPing() error {
	answer, err := s.Redis("PING")
	if err == nil && strings.HasPrefix(answer, "-LOADING") {
		err = fmt.Errorf("it answers %s", answer)
	}
	return err
}

// Redis sends a Redis server a command without blanks in its words, and returns the first line of
// the answer.
func (s *Server) Redis(words ...string) (string, error) {
	conn, err := s.dial()
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// RedisClusterNode starts a Redis server that may become one of a Redis Cluster.
func RedisClusterNode(t testing.TB) *Server {
	t.Helper()
	bus := reservePort(t)
	s := Redis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "2000")
	s.bus = bus
	return s
}

// RedisCluster starts a Redis Cluster of three primaries, which come first, and a replica for each.
func RedisCluster(t testing.TB) []*Server {
	t.Helper()
	nodes := make([]*Server, 6)
	ids := make([]string, 6)
	for i := range nodes {
		nodes[i] = RedisClusterNode(t)
		ids[i] = nodes[i].bulk("CLUSTER", "MYID")
	}
	for i, first := range []int{0, 5461, 10923} {
		last := []int{5460, 10922, 16383}[i]
		nodes[i].must("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last))
		nodes[i].must("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, n := range nodes[1:] {
		nodes[0].must("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(n.port), strconv.Itoa(n.bus))
	}
	for i, n := range nodes[3:] {
		await(t, "a replica knows its primary", func() bool {
			answer, err := n.Redis("CLUSTER", "REPLICATE", ids[i])
			return err == nil && answer == "+OK"
		})
	}
	for _, n := range nodes {
		await(t, "the cluster is whole", func() bool {
			info := n.info("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:6")
		})
	}
	for _, n := range nodes[3:] {
		await(t, "a replica has its primary's data", func() bool {
			return strings.Contains(n.info("INFO", "replication"), "master_link_status:up")
		})
	}
	return nodes
}

func (s *Server) must(words ...string) {
	s.t.Helper()
	if answer, err := s.Redis(words...); err != nil || strings.HasPrefix(answer, "-") {
		s.t.Fatalf("%s: %v: %s %v", s.Addr(), words, answer, err)
	}
}

// bulk sends a command and returns the text that it answers.
func (s *Server) bulk(words ...string) string { return strings.TrimSpace(s.info(words...)) }

func (s *Server) info(words ...string) string {
	s.t.Helper()
	conn, err := s.dial()
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // else it waits
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return ""
	}
	r := bufio.NewReader(conn)
	head, err := r.ReadString('\n')
	size, err2 := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil || err2 != nil || size < 0 {
		return head
	}
	text := make([]byte, size)
	for n := 0; n < size; {
		m, err := r.Read(text[n:])
		if err != nil {
			return ""
		}
		n += m
	}
	return string(text)
}

// Sentinel starts a Redis Sentinel that watches a server under the name "main".
func Sentinel(t testing.TB, watched *Server) *Server {
	t.Helper()
	s := newServer(t, "redis-server")
	conf := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n", s.port, watched.port)
	s.args = []string{writeFile(t, "sentinel.conf", conf), "--sentinel"}
	s.ready = s.answersPing
	s.begin()
	return s
}
