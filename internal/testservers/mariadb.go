package testservers

import (
	"fmt"
	"path/filepath"
	"testing"
)

// MariaDB starts a MariaDB server with an empty database "shoal", in a directory of the test. User
// root has no password.
func MariaDB(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, "mariadbd", "/usr/sbin/mariadbd")
	data := filepath.Join(t.TempDir(), "data")
	run(t, nil, program(t, "mariadb-install-db"), "--no-defaults", "--user=root", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	s.args = []string{
		"--no-defaults", "--user=root", "--datadir=" + data, "--bind-address=127.0.0.1", fmt.Sprint("--port=", s.port),
		"--socket=" + filepath.Join(data, "socket"), "--pid-file=" + filepath.Join(data, "pid"),
		"--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--skip-name-resolve",
		"--init-file=" + writeFile(t, "init.sql", "CREATE DATABASE IF NOT EXISTS shoal;\n"),
	}
	s.begin()
	return s
}
