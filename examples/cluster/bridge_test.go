package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shoalmq/shoal/examples/internal/programtest"
	"github.com/shoalmq/shoal/internal/testservers"
)

// comqtt's conf.yml, with its users in Redis, its storage in Redis and its bridge to Kafka, starts as it is; only ports and addresses are others. What its bridge-kafka.yml
// names goes to Kafka, and nothing else. -check finds it good without a Kafka.
func TestConfWithBridge(t *testing.T) {
	dir := comqttFiles(t)
	server, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation())
	require.NoError(t, err)
	defer server.Close()
	redis := testservers.Redis(t)
	_, err = redis.Redis("HSET", "comqtt-auth", "zhangsan", `'{"password":"321654","allow":true}'`)
	require.NoError(t, err)
	_, err = redis.Redis("HSET", "comqtt-acl:dev", "testtopic/#", "3")
	require.NoError(t, err)
	replace := func(name string, pairs ...string) {
		path := filepath.Join(dir, "config", name)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := strings.NewReplacer(pairs...).Replace(string(text))
		require.NotEqual(t, string(text), changed)
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
	}
	replace("auth-redis.yml", "127.0.0.1:6379", redis.Addr())
	replace("bridge-kafka.yml", "127.0.0.1:9092, 127.0.0.2:9092", server.ListenAddrs()[0])
	require.NoError(t, os.CopyFS(filepath.Join(dir, "cmd", "config"), os.DirFS(filepath.Join(dir, "config"))))
	p := programtest.FreePorts(t, 8)
	env := []string{
		fmt.Sprintf("SHOAL_CLUSTER_MEMBERS=127.0.0.1:%d", p[0]), "SHOAL_REDIS_OPTIONS_ADDR=" + redis.Addr(),
		"SHOAL_CLUSTER_RAFT_DIR=" + filepath.Join(dir, "data"),
		fmt.Sprint("SHOAL_CLUSTER_BIND_PORT=", p[0]), fmt.Sprint("SHOAL_CLUSTER_RAFT_PORT=", p[1]), fmt.Sprint("SHOAL_CLUSTER_GRPC_PORT=", p[2]),
		fmt.Sprint("SHOAL_MQTT_TCP=:", p[3]), fmt.Sprint("SHOAL_MQTT_WS=:", p[4]), fmt.Sprint("SHOAL_MQTT_HTTP=:", p[5]),
		"SHOAL_MQTT_QUIC=", "SHOAL_CLUSTER_RAFT_BOOTSTRAP=true", // the file is that of a node that joins others
	}
	conf := "--conf=./config/conf.yml"
	require.Zero(t, binary.StartIn(t, dir, env, conf, "--check").Exit(t))

	running := binary.StartIn(t, dir, env, conf)
	running.Await(t, "bridge to Kafka")
	running.Await(t, started)
	running.Await(t, "bridge has its session")
	consumer, err := kgo.NewClient(kgo.SeedBrokers(server.ListenAddrs()...), kgo.ConsumeTopics("comqtt"), kgo.AllowAutoTopicCreation(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer consumer.Close()
	client := programtest.ConnectURL(t, fmt.Sprintf("tcp://zhangsan:321654@127.0.0.1:%d", p[3]), "dev", false)
	seen := make(map[string]bool)
	for began := time.Now(); !seen["connect"] || !seen["publish"] || !seen["subscribe"]; {
		require.Less(t, time.Since(began), time.Minute, "%v", seen)
		client.Subscribe("testtopic/31", 1)
		client.Publish("testtopic/3", 1, false, "hello")
		client.Publish("testtopic/4", 1, false, "not concerned")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		records := consumer.PollRecords(ctx, 100).Records()
		cancel()
		for _, r := range records {
			text := string(r.Value)
			require.NotContains(t, text, "testtopic/4")
			require.Contains(t, text, `"clientid":"dev","username":"zhangsan"`)
			for _, action := range []string{"connect", "publish", "subscribe"} {
				seen[action] = seen[action] || strings.HasPrefix(text, `{"action":"`+action+`"`)
			}
		}
	}
	client.Close()
	running.Interrupt(t)
}
