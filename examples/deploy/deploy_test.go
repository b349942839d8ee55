package deploy_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/shoalmq/shoal/internal/config"
)

var program = config.Program{Name: "cluster", Cluster: true}

// requireGood has the program read a configuration, and finds nothing to say about it.
func requireGood(t *testing.T, text string, env ...string) *config.Loaded {
	t.Helper()
	args := []string{}
	if text != "" {
		path := filepath.Join(t.TempDir(), "shoal.yml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		args = []string{"-conf", path}
	}
	l, err := config.Load(program, args, env, new(bytes.Buffer))
	require.NoError(t, err, text)
	require.Empty(t, l.Notes)
	require.Empty(t, l.Dead)
	return l
}

// requireKubernetes checks what belongs together in manifests: names, labels, ports, probes and the configuration.
func requireKubernetes(t *testing.T, text string) map[string]object {
	t.Helper()
	byKind := make(map[string]object)
	var services []object
	for _, d := range documents(t, text) {
		kind := at(t, d, "kind").(string)
		if kind == "Service" {
			services = append(services, d)
			continue
		}
		require.NotContains(t, byKind, kind)
		byKind[kind] = d
	}
	set := byKind["StatefulSet"]
	labels := at(t, set, "spec", "template", "metadata", "labels").(object)
	require.Equal(t, labels, at(t, set, "spec", "selector", "matchLabels"))
	require.Equal(t, labels, at(t, byKind["PodDisruptionBudget"], "spec", "selector", "matchLabels"))
	pod := at(t, set, "spec", "template", "spec").(object)
	require.Equal(t, false, pod["enableServiceLinks"])
	container := at(t, pod, "containers", 0).(object)
	ports := make(map[string]int)
	for _, p := range container["ports"].([]any) {
		ports[at(t, p, "name").(string)] = at(t, p, "containerPort").(int)
	}
	require.Len(t, services, 2)
	for _, s := range services {
		require.Equal(t, labels, at(t, s, "spec", "selector"))
		for _, p := range at(t, s, "spec", "ports").([]any) {
			require.Contains(t, ports, at(t, p, "name"))
		}
	}
	require.Equal(t, at(t, services[0], "metadata", "name"), at(t, set, "spec", "serviceName"))
	require.Equal(t, true, at(t, services[0], "spec", "publishNotReadyAddresses"), "nodes find each other before they are ready")
	for probe, path := range map[string]string{"livenessProbe": "/livez", "readinessProbe": "/readyz"} {
		require.Equal(t, path, at(t, container, probe, "httpGet", "path"))
		require.Contains(t, ports, at(t, container, probe, "httpGet", "port"))
	}
	l := requireGood(t, at(t, byKind["ConfigMap"], "data", "shoal.yml").(string), "POD_NAME=shoal-0", "POD_IP=10.1.2.3", "INFO_TOKEN=t")
	require.Equal(t, "shoal-0", l.Cluster.NodeName)
	require.Equal(t, "t", l.MQTT.Info.Token)
	require.Equal(t, at(t, set, "spec", "replicas"), l.Cluster.RaftExpect)
	require.Equal(t, []string{at(t, services[0], "metadata", "name").(string) + ":7946"}, l.Cluster.Members)
	for name, port := range map[string]int{"gossip": l.Cluster.BindPort, "raft": l.Cluster.RaftPort, "grpc": l.Cluster.GRPCPort} {
		require.Equal(t, port, ports[name])
	}
	grace := at(t, pod, "terminationGracePeriodSeconds").(int)
	require.Greater(t, float64(grace), l.DrainTimeout.Seconds()+3, "draining fits into the time that Kubernetes gives")
	return byKind
}

func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("kubernetes/shoal.yaml")
	require.NoError(t, err)
	requireKubernetes(t, string(text))
}

func TestHelm(t *testing.T) {
	requireKubernetes(t, render(t, object{"token": object{"value": "t"}}))
	kinds := requireKubernetes(t, render(t, object{
		"replicaCount": 5, "token": object{"existingSecret": "mine"}, "persistence": object{"enabled": false},
		"serviceMonitor": object{"enabled": true}, "config": object{"log": object{"level": "debug"}},
	}))
	require.NotContains(t, kinds, "Secret")
	require.Equal(t, "/metrics", at(t, kinds["ServiceMonitor"], "spec", "endpoints", 0, "path"))
	tls := render(t, object{"token": object{"value": "t"}, "tls": object{"existingSecret": "certs"}})
	require.Contains(t, tls, "server-cert: /etc/shoal-tls/tls.crt")
	require.Contains(t, tls, "secretName: certs")
}

// environment is that of a service of a Compose file, with what other files add to it.
func environment(t *testing.T, service string, files ...string) (env []string) {
	t.Helper()
	all := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var f struct {
			Services map[string]struct{ Environment map[string]string }
			Volumes  object
		}
		require.NoError(t, yaml.Unmarshal(text, &f))
		maps.Copy(all, f.Services[service].Environment)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+strings.ReplaceAll(all[name], "${SHOAL_TOKEN:-}", "t"))
	}
	return env
}

func TestCompose(t *testing.T) {
	for _, name := range []string{"shoal1", "shoal2", "shoal3"} {
		l := requireGood(t, "", environment(t, name, "docker/compose.yml")...)
		require.Equal(t, name, l.Cluster.NodeName)
		require.Contains(t, l.Cluster.Members, name+":7946")
		require.Equal(t, len(l.Cluster.Members), l.Cluster.RaftExpect)
		require.Equal(t, 1, l.StorageWay)
		l = requireGood(t, "", environment(t, name, "docker/compose.yml", "docker/compose.redis.yml")...)
		require.Equal(t, 3, l.StorageWay)
		require.Equal(t, "redis:6379", l.Redis.Options.Addr)
	}
}

// The image has what the files beside it use. (It is not built here.)
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("docker/Dockerfile")
	require.NoError(t, err)
	for _, line := range []string{"CGO_ENABLED=0", "FROM scratch", "USER 65532:65532", `ENTRYPOINT ["/shoal"]`, "./examples/cluster"} {
		require.Contains(t, string(text), line)
	}
	module, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	require.Contains(t, string(module), "\ngo 1.26", "the version in the Dockerfile")
}

func TestSystemdUnits(t *testing.T) {
	text, err := os.ReadFile("systemd/shoal.service")
	require.NoError(t, err)
	require.Contains(t, string(text), "ExecReload=/bin/kill -HUP $MAINPID")
	require.Contains(t, string(text), "SHOAL_DATA_DIR=")
	verifier, err := exec.LookPath("systemd-analyze") //nolint:misspell // its name
	if err != nil {
		t.Skip("systemd is not there")
	}
	dir := t.TempDir() // with a program that is there
	unit := filepath.Join(dir, "shoal.service")
	require.NoError(t, os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/local/bin/shoal"), []byte("/bin/true")), 0o600))
	socket, err := os.ReadFile("systemd/shoal.socket")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shoal.socket"), socket, 0o600))
	for _, u := range []string{unit, filepath.Join(dir, "shoal.socket")} {
		out, err := exec.CommandContext(t.Context(), verifier, "verify", "--recursive-errors=no", "--man=no", u).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.NotContains(t, string(out), "Unknown", "%s", out)
	}
}
