package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/auth/source"
)

// Config is what New takes: Path, or the files of mosquitto.
type Config struct {
	// Path of a users file in YAML.
	Path string
	// MosquittoPasswords is the path of a password_file.
	MosquittoPasswords string
	// MosquittoACL is the path of an acl_file. Without one, everything is allowed to
	// whom the password_file lets in.
	MosquittoACL string
	// Anonymous lets in clients without a user name, as mosquitto's allow_anonymous. For
	// Path, the file says so.
	Anonymous bool
	// NoWatch leaves the files alone until Reload is called.
	NoWatch bool
	// Limiter bounds how many slow hashes are computed at once; see source.Config.
	Limiter *password.Limiter
	// Logger is told about changes. Default: none.
	Logger *slog.Logger
}

// Authenticator is a shoal.Authenticator and shoal.Authorizer. Make one with New, and close it
// after the broker has been shut down.
type Authenticator struct {
	*source.Authenticator

	files *files
}

// New reads the files and makes an Authenticator, or says what is wrong with cfg or the files.
func New(cfg Config) (*Authenticator, error) {
	f := &files{cfg: cfg, log: orDiscard(cfg.Logger)}
	switch {
	case (cfg.Path == "") == (cfg.MosquittoPasswords == ""):
		return nil, errors.New("file: set one of Config.Path and Config.MosquittoPasswords")
	case cfg.Path != "" && (cfg.MosquittoACL != "" || cfg.Anonymous):
		return nil, errors.New("file: Config.MosquittoACL and Anonymous are for MosquittoPasswords; " +
			"a users file says so itself")
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	s, err := source.New(f, source.Config{
		Name: "file", Local: true, NoPassword: true, Limiter: cfg.Limiter, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	a := &Authenticator{Authenticator: s, files: f}
	if !cfg.NoWatch {
		if f.watcher, err = watch(f.paths(), f.log, func() { _ = a.Reload() }); err != nil { // it logs
			return nil, errors.Join(err, s.Close())
		}
	}
	return a, nil
}

// Reload reads the files again, if their contents have changed. If they have an error, that
// is logged and returned, and what was read before stays in force.
func (a *Authenticator) Reload() error {
	changed, err := a.files.reload()
	if changed {
		a.InvalidateAll()
	}
	return err
}

// files is a source.Source.
type files struct {
	cfg     Config
	log     *slog.Logger
	watcher *watcher
	now     atomic.Pointer[contents]

	mu   sync.Mutex // of reload
	read map[string]string
}

var _ interface {
	source.Source
	io.Closer
} = (*files)(nil)

func (f *files) paths() (paths []string) {
	for _, p := range []string{f.cfg.Path, f.cfg.MosquittoPasswords, f.cfg.MosquittoACL} {
		if p != "" {
			paths = append(paths, p)
		}
	}
	return paths
}

func (f *files) User(ctx context.Context, q *source.Query) (*source.User, error) {
	return f.now.Load().User(ctx, q)
}

func (f *files) Rules(ctx context.Context, s *source.Subject) (*acl.List, error) {
	return f.now.Load().Rules(ctx, s)
}

func (f *files) Close() error { return f.watcher.close() }

func (f *files) reload() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, err := readAll(f.paths())
	switch {
	case err != nil:
	case same(data, f.read):
		return false, nil
	default:
		f.read = data // also of files that have an error, which is reported once
		err = f.use(data)
	}
	if err != nil {
		f.log.Error("changed files of users are not used; what was read before stays in force", "error", err)
		return false, err
	}
	f.log.Info("changed files of users are in force", "users", len(f.now.Load().users))
	return true, nil
}

func (f *files) load() error {
	data, err := readAll(f.paths())
	if err != nil {
		return err
	}
	f.read = data
	return f.use(data)
}

func (f *files) use(data map[string]string) error {
	c, err := f.parse(data)
	if err != nil {
		return fmt.Errorf("file: %w", err)
	}
	f.now.Store(c)
	return nil
}

func (f *files) parse(data map[string]string) (*contents, error) {
	if p := f.cfg.Path; p != "" {
		return parseUsers(p, []byte(data[p]))
	}
	p := f.cfg.MosquittoPasswords
	users, err := parseMosquittoPasswords(p, []byte(data[p]))
	if err != nil {
		return nil, err
	}
	var m *mosquittoACL
	if p := f.cfg.MosquittoACL; p != "" {
		if m, err = parseMosquittoACL(p, []byte(data[p])); err != nil {
			return nil, err
		}
	}
	return withMosquittoACL(users, m, f.cfg.Anonymous)
}

// maxSize is how large a file may be.
const maxSize = 64 << 20

// readAll reads files by path.
func readAll(paths []string) (map[string]string, error) {
	data := make(map[string]string, len(paths))
	for _, p := range paths {
		text, err := readFile(p)
		if err != nil {
			return nil, fmt.Errorf("file: %w", err)
		}
		data[p] = text
	}
	return data, nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was read only
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxSize {
		return "", fmt.Errorf("%s: it is larger than %d MiB", path, maxSize>>20)
	}
	return string(text), nil
}

func same(a, b map[string]string) bool {
	for path, text := range a {
		if b[path] != text {
			return false
		}
	}
	return true
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
