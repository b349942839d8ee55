package testservers

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Postgres starts a PostgreSQL server in a directory of its own. User postgres has no password, and
// a database that is called like it. The server refuses to run as root: then it runs as the system's
// user postgres.
func Postgres(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, "postgres", debianPostgres()...)
	dir, err := os.MkdirTemp("", "shoal-postgres-") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.user = unprivileged(t, dir)
	bin := filepath.Dir(s.path)
	if path, err := filepath.EvalSymlinks(s.path); err == nil {
		bin = filepath.Dir(path)
	}
	data := filepath.Join(dir, "data")
	run(t, s.user, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	s.path = filepath.Join(bin, "postgres")
	s.args = []string{
		"-D", data, "-p", strconv.Itoa(s.port), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
	}
	s.gentle = syscall.SIGINT // "fast shutdown": its processes end with it
	s.ready = func() error {
		return try(s.user, filepath.Join(bin, "pg_isready"), "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-t", "1")
	}
	s.begin()
	return s
}

// debianPostgres is where Debian keeps what it does not put on PATH.
func debianPostgres() []string {
	paths, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return nil
	}
	return paths
}

// unprivileged gives dir to a user that is not root, and returns how to be it; nil if this process is
// not root.
func unprivileged(t testing.TB, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("PostgreSQL does not run as root: %v", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatalf("give %s to user postgres: %v", dir, err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
