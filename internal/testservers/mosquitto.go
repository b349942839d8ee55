package testservers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Mosquitto starts an Eclipse Mosquitto broker that lets everybody in and keeps sessions of any length. Stop has it save them, so that Start goes on with
// them. lines are further ones of its configuration.
func Mosquitto(t testing.TB, lines ...string) *Server {
	t.Helper()
	s := newServer(t, "mosquitto", "/usr/sbin/mosquitto")
	s.gentle = syscall.SIGTERM
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := writeFile(t, "mosquitto.conf", strings.Join(append([]string{
		fmt.Sprintf("listener %d 127.0.0.1", s.port), "allow_anonymous true", "user root",
		"persistence true", "persistence_location " + dir + "/", "max_queued_messages 0", "max_inflight_messages 0",
	}, lines...), "\n")+"\n")
	s.args = []string{"-c", conf}
	s.begin()
	return s
}
