package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// lists are revocation lists in files.
type lists struct {
	cfg Config
	now atomic.Pointer[[]*list]

	mu     sync.Mutex // of reload
	read   []byte     // all files
	notify *fsnotify.Watcher
	done   chan struct{}
	once   sync.Once
}

// list is one revocation list. Whose it is, its signature tells.
type list struct {
	path    string
	crl     *x509.RevocationList
	revoked map[string]bool // serial numbers

	mu     sync.Mutex // guards signed
	signed map[string]bool
}

// mostIssuers is for how many authorities a list remembers whether it is theirs.
const mostIssuers = 1000

// signedBy reports whether a list is that of an authority.
func (l *list) signedBy(issuer *x509.Certificate) bool {
	if !bytes.Equal(l.crl.RawIssuer, issuer.RawSubject) {
		return false
	}
	key := string(issuer.Raw)
	l.mu.Lock()
	ok, known := l.signed[key]
	l.mu.Unlock()
	if known {
		return ok
	}
	ok = l.crl.CheckSignatureFrom(issuer) == nil
	l.mu.Lock()
	if len(l.signed) < mostIssuers {
		l.signed[key] = ok
	}
	l.mu.Unlock()
	return ok
}

// check returns why every chain has a certificate that is revoked, or may be; nil if one has none.
func (l *lists) check(chains [][]*x509.Certificate) (err error) {
	for _, chain := range chains {
		if err = l.checkChain(chain); err == nil {
			return nil
		}
	}
	return err
}

func (l *lists) checkChain(chain []*x509.Certificate) error {
	for i := range len(chain) - 1 {
		if err := l.checkOne(chain[i], chain[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (l *lists) checkOne(c, issuer *x509.Certificate) error {
	found := false
	for _, one := range *l.now.Load() {
		if !one.signedBy(issuer) {
			continue
		}
		found = true
		if one.revoked[c.SerialNumber.String()] {
			return fmt.Errorf("certificate %s is revoked by %s", c.SerialNumber, one.path)
		}
		if due := one.crl.NextUpdate; !due.IsZero() && time.Now().After(due) && !l.cfg.OldCRLs {
			return fmt.Errorf("%s is out of date since %s; get a newer one, or set Config.OldCRLs", one.path,
				due.Format(time.RFC3339))
		}
	}
	if !found && l.cfg.RequireCRL {
		return fmt.Errorf("there is no revocation list of %s", issuer.Subject)
	}
	return nil
}

func (l *lists) readFiles() ([][]byte, error) {
	files := make([][]byte, len(l.cfg.CRLs))
	for i, path := range l.cfg.CRLs {
		var err error
		if files[i], err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("cert: Config.CRLs[%d]: %w", i, err)
		}
	}
	return files, nil
}

func (l *lists) load() error {
	files, err := l.readFiles()
	if err != nil {
		return err
	}
	return l.use(files)
}

func (l *lists) use(files [][]byte) error {
	l.read = bytes.Join(files, []byte{0})
	all := make([]*list, 0, len(files))
	for i, data := range files {
		parsed, err := parseCRLs(data)
		if err != nil {
			return fmt.Errorf("cert: Config.CRLs[%d]: %s: %w", i, l.cfg.CRLs[i], err)
		}
		for _, one := range parsed {
			one.path = l.cfg.CRLs[i]
			all = append(all, one)
		}
	}
	l.now.Store(&all)
	return nil
}

// parseCRLs reads one list in DER, or any number in PEM.
func parseCRLs(data []byte) (all []*list, err error) {
	ders := [][]byte{data}
	if block, _ := pem.Decode(data); block != nil {
		ders = nil
		for rest := data; ; {
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type != "X509 CRL" {
				return nil, fmt.Errorf("it has a PEM block %s; it must be X509 CRL", block.Type)
			}
			ders = append(ders, block.Bytes)
		}
	}
	for _, der := range ders {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, err
		}
		one := &list{crl: crl, revoked: make(map[string]bool, len(crl.RevokedCertificateEntries)), signed: make(map[string]bool)}
		for i := range crl.RevokedCertificateEntries {
			one.revoke(crl.RevokedCertificateEntries[i].SerialNumber)
		}
		all = append(all, one)
	}
	return all, nil
}

func (l *list) revoke(serial *big.Int) { l.revoked[serial.String()] = true }

func (l *lists) reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	files, err := l.readFiles()
	if err == nil {
		if bytes.Equal(l.read, bytes.Join(files, []byte{0})) {
			return nil
		}
		err = l.use(files)
	}
	if err != nil {
		l.cfg.Logger.Error("changed revocation lists are not used; those read before stay in force", "error", err)
		return err
	}
	l.cfg.Logger.Info("changed revocation lists are in force")
	return nil
}

// settle is how long a directory must be quiet before its files are read.
const settle = 100 * time.Millisecond

// watch has the lists read again when something happens in their directories.
func (l *lists) watch() error {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cert: watch for changes (Config.NoWatch does without): %w", err)
	}
	for _, path := range l.cfg.CRLs {
		if err := n.Add(filepath.Dir(path)); err != nil {
			return errors.Join(fmt.Errorf("cert: watch for changes (Config.NoWatch does without): %w", err), n.Close())
		}
	}
	l.notify, l.done = n, make(chan struct{})
	go l.run()
	return nil
}

func (l *lists) run() {
	defer close(l.done)
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	for {
		select {
		case _, ok := <-l.notify.Events:
			if !ok {
				return
			}
		case err, ok := <-l.notify.Errors:
			if !ok {
				return
			}
			l.cfg.Logger.Warn("changes of revocation lists may have been missed", "error", err)
		case <-quiet.C:
			_ = l.reload() // it logs
			continue
		}
		quiet.Reset(settle)
	}
}

func (l *lists) close() (err error) {
	if l.notify == nil {
		return nil
	}
	l.once.Do(func() { err = l.notify.Close() })
	<-l.done
	return err
}
