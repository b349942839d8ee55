package testservers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Kafka starts an Apache Kafka server, alone, in KRaft mode, from its jars in bin/kafka of this module, which .ci/run puts there. What it is
// given survives Kill and Start.
func Kafka(t testing.TB) *Server {
	t.Helper()
	jars := kafkaJars(t)
	s := newServer(t, "java")
	controller := reservePort(t)
	dir := t.TempDir()
	properties := writeFile(t, "server.properties", strings.Join([]string{
		"process.roles=broker,controller", "node.id=1",
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", controller),
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", s.port, controller),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://127.0.0.1:%d", s.port),
		"controller.listener.names=CONTROLLER", "log.dirs=" + filepath.Join(dir, "data"),
		"num.partitions=3", "auto.create.topics.enable=true",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"", // the last line ends, too
	}, "\n"))
	class := jars + string(os.PathSeparator) + "*"
	run(t, nil, s.path, "-cp", class, "kafka.tools.StorageTool", "format", "--cluster-id", "Tm90IGEgcmVhbCBvbmUhIQ", "--config", properties)
	s.args = []string{"-Xmx384m", "-cp", class, "kafka.Kafka", properties}
	s.begin()
	return s
}

// kafkaJars returns the folder of Kafka's jars, or skips the test.
func kafkaJars(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the folder of go.mod is not found; run the test inside of the module")
		}
	}
	jars := filepath.Join(dir, "bin", "kafka")
	if found, err := filepath.Glob(filepath.Join(jars, "kafka_*.jar")); err == nil && len(found) > 0 {
		return jars
	}
	const how = "Kafka's jars are not in bin/kafka; make kafka puts them there"
	if os.Getenv("SHOAL_REQUIRE_SERVERS") == "1" {
		t.Fatal(how, ", and SHOAL_REQUIRE_SERVERS=1")
	}
	t.Skip(how)
	return ""
}
