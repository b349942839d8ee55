package programtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Switch is a network of hosts, each a network namespace with an address of its own. Every packet between two of them goes through the test, which can lose it, or
// have it take its time. It needs root and Linux.
type Switch struct {
	hosts []*switched

	mu    sync.Mutex
	rng   *rand.Rand
	links map[[2]int]link
	wg    sync.WaitGroup
}

// switched is one host of a Switch.
type switched struct {
	name, ip string
	tun      *os.File
}

// link is what holds for what goes from one host to another.
type link struct {
	cut        bool
	delay      time.Duration
	loss       float64
	resetUntil time.Time
}

const (
	subnet    = "10.99.0."
	device    = "shoal0"
	switchMTU = 9000
)

var switches atomic.Int64

// StartSwitch makes a network of so many hosts. It returns nil where the process may not, or cannot. The network is gone when the test ends.
func StartSwitch(t testing.TB, hosts int, seed uint64) *Switch {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	s := &Switch{rng: rand.New(rand.NewPCG(seed, 0x737769746368)), links: make(map[[2]int]link)}
	t.Cleanup(s.close)
	prefix := fmt.Sprintf("shoal-%d-%d-", os.Getpid(), switches.Add(1))
	for i := range hosts {
		h := &switched{name: prefix + strconv.Itoa(i), ip: subnet + strconv.Itoa(i+1)}
		if out, err := exec.Command("ip", "netns", "add", h.name).CombinedOutput(); err != nil {
			t.Logf("no network namespaces here: %v: %s", err, out)
			return nil
		}
		s.hosts = append(s.hosts, h)
		if err := h.open(); err != nil {
			t.Logf("no tunnels in network namespaces here: %v", err)
			return nil
		}
		for _, args := range [][]string{
			{"addr", "add", h.ip + "/24", "dev", device},
			{"link", "set", device, "mtu", strconv.Itoa(switchMTU), "up"},
			{"link", "set", "lo", "up"},
		} {
			out, err := exec.Command("ip", append([]string{"-n", h.name}, args...)...).CombinedOutput()
			require.NoError(t, err, "ip %v: %s", args, out)
		}
	}
	for i := range s.hosts {
		s.wg.Go(func() { s.forward(i) })
	}
	return s
}

// inside runs fn on a thread of its own in the host's namespace. That thread ends with it.
func (h *switched) inside(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and is not unlocked: the thread must not run anything else afterwards
		ns, err := os.Open("/run/netns/" + h.name)
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = ns.Close() }()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering network namespace %s: %w", h.name, err)
			return
		}
		done <- fn()
	}()
	return <-done
}

// open makes the host's network device, whose packets this process reads and writes.
func (h *switched) open() error {
	return h.inside(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			_ = unix.Close(fd)
			return err
		}
		h.tun = os.NewFile(uintptr(fd), h.name)
		return nil
	})
}

// IP is a host's address.
func (s *Switch) IP(host int) string { return s.hosts[host].ip }

// Command runs a program on a host.
func (s *Switch) Command(host int, path string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", s.hosts[host].name, path}, args...)...)
}

// DialContext opens a connection from a host.
func (s *Switch) DialContext(ctx context.Context, host int, addr string) (conn net.Conn, err error) {
	err = s.hosts[host].inside(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		return err
	})
	return conn, err
}

func (s *Switch) change(from, to int, fn func(l *link)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[[2]int{from, to}]
	fn(&l)
	s.links[[2]int{from, to}] = l
}

// Cut loses everything that goes from one host to another, or nothing any more.
func (s *Switch) Cut(from, to int, cut bool) { s.change(from, to, func(l *link) { l.cut = cut }) }

// Delay has what goes from one host to another take so much longer.
func (s *Switch) Delay(from, to int, d time.Duration) {
	s.change(from, to, func(l *link) { l.delay = d })
}

// Loss loses a share, from 0 to 1, of the packets that go from one host to another.
func (s *Switch) Loss(from, to int, share float64) {
	s.change(from, to, func(l *link) { l.loss = share })
}

// Reset turns the TCP segments from one host to another into resets for a moment.
func (s *Switch) Reset(from, to int) {
	s.change(from, to, func(l *link) { l.resetUntil = time.Now().Add(300 * time.Millisecond) })
}

// forward carries what a host sends.
func (s *Switch) forward(from int) {
	b := make([]byte, switchMTU)
	for {
		n, err := s.hosts[from].tun.Read(b)
		if err != nil {
			return
		}
		to, ok := s.destination(b[:n])
		if !ok {
			continue
		}
		s.mu.Lock()
		l := s.links[[2]int{from, to}]
		lost := l.cut || l.loss > 0 && s.rng.Float64() < l.loss
		s.mu.Unlock()
		switch {
		case lost:
		case l.delay > 0:
			packet := append([]byte(nil), b[:n]...)
			time.AfterFunc(l.delay, func() { _, _ = s.hosts[to].tun.Write(packet) })
		case time.Now().Before(l.resetUntil):
			_, _ = s.hosts[to].tun.Write(resetOf(b[:n]))
		default:
			_, _ = s.hosts[to].tun.Write(b[:n])
		}
	}
}

// destination returns which host an IPv4 packet is for.
func (s *Switch) destination(b []byte) (host int, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return 0, false
	}
	host = int(b[19]) - 1
	return host, host >= 0 && host < len(s.hosts)
}

func (s *Switch) close() {
	for _, h := range s.hosts {
		if h.tun != nil {
			_ = h.tun.Close()
		}
	}
	s.wg.Wait()
	for _, h := range s.hosts {
		_ = exec.Command("ip", "netns", "del", h.name).Run() // it may be gone
	}
}
