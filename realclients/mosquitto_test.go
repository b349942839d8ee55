package realclients

import (
	"os/exec"
	"strconv"
	"testing"
)

// mosquitto is mosquitto_sub and mosquitto_pub.
type mosquitto struct{ version string }

func (mosquitto) require(t *testing.T) {
	t.Helper()
	for _, name := range []string{"mosquitto_sub", "mosquitto_pub", "stdbuf"} {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name)
		}
	}
}

func (k mosquitto) listen(t *testing.T, at endpoint, how listening) *listener {
	t.Helper()
	host, port := hostPort(t, at.tcp)
	args := []string{
		"-oL", "mosquitto_sub", "-h", host, "-p", port, "-V", k.version, "-i", how.clientID, "-q", strconv.Itoa(int(how.qos)),
		"-d", "-F", "M %q %r %t %p",
	}
	for _, f := range how.filters {
		args = append(args, "-t", f)
	}
	if how.keep {
		args = append(args, "-c")
		if k.version == "5" {
			args = append(args, "-x", "600")
		}
	}
	if w := how.will; w != nil {
		args = append(args, "--will-topic", w.topic, "--will-payload", w.payload, "--will-qos", strconv.Itoa(int(w.qos)))
	}
	l := startListener(t, exec.CommandContext(t.Context(), "stdbuf", args...))
	l.leavesWithWill = k.version == "5"
	return l
}

func (k mosquitto) publish(t *testing.T, at endpoint, m message, payloads ...string) {
	t.Helper()
	host, port := hostPort(t, at.tcp)
	args := []string{"-h", host, "-p", port, "-V", k.version, "-i", unique("pub"), "-q", strconv.Itoa(int(m.qos)), "-t", m.topic}
	if m.retain {
		args = append(args, "-r")
	}
	if len(payloads) == 1 && payloads[0] == "" {
		runPublisher(t, exec.CommandContext(t.Context(), "mosquitto_pub", append(args, "-n")...), nil)
		return
	}
	runPublisher(t, exec.CommandContext(t.Context(), "mosquitto_pub", append(args, "-l")...), payloads)
}
