package realclients

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A client that is a program of its own writes lines to its standard output: "S 0" or "S 1" (or "Subscribed …") once it
// has subscribed, with Session Present, "M qos retain topic payload" for each message, and "E …" if the connection was lost. To publish, it reads payloads from its standard input, one a
// line, and ends when all are acknowledged.

// startListener runs a program that subscribes, and waits until it has.
func startListener(t *testing.T, cmd *exec.Cmd) *listener {
	t.Helper()
	l := newListener()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	subscribed := make(chan string, 1)
	go func() {
		defer close(done)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			line := s.Text()
			switch {
			case strings.HasPrefix(line, "S"):
				subscribed <- line
			case strings.HasPrefix(line, "M "):
				l.messages <- parseMessage(line)
			case strings.HasPrefix(line, "E "):
				l.messages <- message{topic: "the client says", payload: line}
			}
		}
		_ = cmd.Wait() // it is ended by a signal
	}()
	var once sync.Once
	end := func(how os.Signal) func() {
		return func() {
			once.Do(func() {
				if how == os.Interrupt {
					awaitIdle(cmd.Process.Pid)
				}
				_ = cmd.Process.Signal(how) // fails if it has ended
				select {
				case <-done:
				case <-time.After(patience):
					_ = cmd.Process.Kill()
					<-done
					t.Errorf("%s did not end", cmd.Path)
				}
			})
		}
	}
	l.leave, l.cut = end(os.Interrupt), end(os.Kill)
	t.Cleanup(l.leave)
	select {
	case line := <-subscribed:
		if present, ok := strings.CutPrefix(line, "S "); ok {
			is := present == "1"
			l.sessionPresent = &is
		}
	case <-done:
		require.Fail(t, "the client ended", "%s: %s", cmd, stderr.String())
	case <-time.After(patience):
		require.Fail(t, "the client did not subscribe", "%s", cmd)
	}
	return l
}

func parseMessage(line string) message {
	f := strings.SplitN(line, " ", 5)
	if len(f) != 5 {
		return message{topic: "unreadable: " + line}
	}
	qos, _ := strconv.Atoi(f[1])
	return message{qos: byte(qos), retain: f[2] == "1", topic: f[3], payload: f[4]}
}

// runPublisher runs a program that publishes the payloads.
func runPublisher(t *testing.T, cmd *exec.Cmd, payloads []string) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	_, err = io.WriteString(stdin, strings.Join(payloads, "\n")+"\n")
	closing := stdin.Close()
	ended := cmd.Wait()
	require.NoError(t, ended, "%s: %s", cmd, &output)
	require.NoError(t, err)
	require.NoError(t, closing)
}

func hostPort(t *testing.T, address string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return host, port
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// awaitIdle waits until a process waits for something: mosquitto_sub takes a lock in its signal handler, and stands still for ever if it was
// holding it.
func awaitIdle(pid int) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return // it has ended, or this system has no /proc
		}
		if _, after, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(after, "S") {
			return
		}
	}
}
