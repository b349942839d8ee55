package realclients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// script is a client in a language of its own: a program in testdata that takes these arguments
//
//	listen host port version clientID keep willTopic willPayload qos filter …
//	publish host port version clientID qos retain topic
//
// where version is MQTT's protocol level.
type script struct {
	interpreter string
	file        string
	library     string // how to see whether the library is there: a program that ends with 0
	env         string // the variable that names where libraries are looked for
	dir         string // where they may be, from the root of the repository
	version     string
}

func python(version string) script {
	return script{
		interpreter: "python3", file: "client.py", library: "import paho.mqtt.enums", env: "PYTHONPATH", dir: "bin/python", version: version,
	}
}

func javaScript(version string) script {
	return script{
		interpreter: "node", file: "client.cjs", library: "require('mqtt')", env: "NODE_PATH", dir: "bin/node/node_modules", version: version,
	}
}

func (k script) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", filepath.FromSlash(k.dir)))
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), k.interpreter, args...)
	cmd.Env = append(os.Environ(), k.env+"="+dir+string(filepath.ListSeparator)+os.Getenv(k.env))
	return cmd
}

func (k script) require(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(k.interpreter); err != nil {
		missing(t, k.interpreter)
	}
	run := "-c"
	if k.interpreter == "node" {
		run = "-e"
	}
	if err := k.command(t, run, k.library).Run(); err != nil {
		missing(t, "the MQTT library of "+k.interpreter)
	}
}

func (k script) listen(t *testing.T, at endpoint, how listening) *listener {
	t.Helper()
	host, port := hostPort(t, at.tcp)
	will := message{}
	if how.will != nil {
		will = *how.will
	}
	args := []string{
		filepath.Join("testdata", k.file), "listen", host, port, k.version, how.clientID, digit(how.keep), will.topic, will.payload,
		strconv.Itoa(int(how.qos)),
	}
	return startListener(t, k.command(t, append(args, how.filters...)...))
}

func (k script) publish(t *testing.T, at endpoint, m message, payloads ...string) {
	t.Helper()
	host, port := hostPort(t, at.tcp)
	runPublisher(t, k.command(t, filepath.Join("testdata", k.file), "publish", host, port, k.version, unique("pub"),
		strconv.Itoa(int(m.qos)), digit(m.retain), m.topic), payloads)
}
