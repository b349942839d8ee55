package cert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
)

// Field is one of a certificate.
type Field string

// The fields of a certificate that may be names.
const (
	CommonName Field = "common-name" // of the subject
	Subject    Field = "subject"     // the whole of it, as in RFC 2253
	DNS        Field = "dns"         // the first subject alternative name of this kind, as are the others
	Email      Field = "email"
	URI        Field = "uri"
	Serial     Field = "serial" // in decimal
)

// Config is what New takes. The zero value takes the common name as the user name.
type Config struct {
	// Name is the field that is the user name. Default CommonName.
	Name Field
	// AnyUserName lets clients give another user name, which is not looked at.
	AnyUserName bool
	// ClientID, if not empty, is a field that is the client ID, whatever the client says.
	ClientID Field
	// CRLs are the paths of revocation lists.
	CRLs []string
	// RequireCRL refuses certificates of authorities for which there is no list.
	RequireCRL bool
	// OldCRLs uses lists also after their Next Update.
	OldCRLs bool
	// NoWatch leaves the lists alone until Reload is called.
	NoWatch bool
	// Logger is told about changed lists. Default: none.
	Logger *slog.Logger
	// Source says what is done with the rules.
	Source source.Config
}

// Authenticator is a shoal.Authenticator and shoal.Authorizer. Make one with New, and close it after
// the broker has been shut down.
type Authenticator struct {
	*source.Authenticator

	lists *lists
}

// New reads the revocation lists and makes an Authenticator, or says what is wrong with cfg or with them.
func New(cfg Config) (*Authenticator, error) {
	if cfg.Name == "" {
		cfg.Name = CommonName
	}
	if cfg.Source.Name == "" {
		cfg.Source.Name = "cert"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for field, f := range map[string]Field{"Name": cfg.Name, "ClientID": cfg.ClientID} {
		if _, known := cfg.value(new(x509.Certificate), f); !known && f != "" {
			return nil, fmt.Errorf("cert: Config.%s is %q; it must be %q, %q, %q, %q, %q or %q", field, f,
				CommonName, Subject, DNS, Email, URI, Serial)
		}
	}
	if cfg.RequireCRL && len(cfg.CRLs) == 0 {
		return nil, errors.New("cert: Config.RequireCRL is set, and CRLs is empty")
	}
	if cfg.Source.Login != "" && cfg.Source.Login != source.ByUserName {
		return nil, errors.New("cert: Config.Source.Login has no meaning here; leave it empty")
	}
	cfg.Source.Local, cfg.Source.NoPassword = true, true
	l := &lists{cfg: cfg}
	if err := l.load(); err != nil {
		return nil, err
	}
	a, err := source.New(&certificates{cfg: cfg, lists: l}, cfg.Source)
	if err != nil {
		return nil, err
	}
	if !cfg.NoWatch && len(cfg.CRLs) > 0 {
		if err := l.watch(); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return &Authenticator{Authenticator: a, lists: l}, nil
}

// Reload reads the revocation lists again, if they have changed. If one has an error, that is logged and
// returned, and those that were read before stay in force. Clients that are connected stay.
func (a *Authenticator) Reload() error { return a.lists.reload() }

// certificates is a source.Source.
type certificates struct {
	cfg   Config
	lists *lists
}

var (
	_ source.Source = (*certificates)(nil)
	_ io.Closer     = (*certificates)(nil)
)

// Close implements io.Closer.
func (c *certificates) Close() error { return c.lists.close() }

// Rules implements source.Source: there are none.
func (*certificates) Rules(context.Context, *source.Subject) (*acl.List, error) { return nil, nil }

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: cert: %w", source.ErrRefused, fmt.Errorf(format, args...))
}

// User implements source.Source.
func (c *certificates) User(_ context.Context, q *source.Query) (*source.User, error) {
	leaf, chains, err := verified(q.Credentials)
	if err != nil {
		return nil, err
	}
	name, _ := c.cfg.value(leaf, c.cfg.Name)
	switch given := q.Credentials.UserName; {
	case name == "" || !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return nil, refused("the certificate has no %s that is a name", c.cfg.Name)
	case given != "" && given != name && !c.cfg.AnyUserName:
		return nil, refused("the certificate is another user's")
	}
	id := ""
	if c.cfg.ClientID != "" {
		if id, _ = c.cfg.value(leaf, c.cfg.ClientID); id == "" {
			return nil, refused("the certificate has no %s, which is the client ID", c.cfg.ClientID)
		}
	}
	if err := c.lists.check(chains); err != nil {
		return nil, refused("%w", err)
	}
	return &source.User{
		Name: name, ClientID: id, Verified: true, Attributes: attributes(leaf), Expires: leaf.NotAfter,
	}, nil
}

// verified returns the certificate of a client, and the chains by which the listener has verified it.
func verified(c *shoal.Credentials) (*x509.Certificate, [][]*x509.Certificate, error) {
	switch {
	case c.TLS == nil:
		return nil, nil, refused("the connection is not by TLS")
	case len(c.TLS.PeerCertificates) == 0:
		return nil, nil, refused("the client has shown no certificate")
	case len(c.TLS.VerifiedChains) == 0:
		return nil, nil, refused("the listener does not verify certificates; set tls.Config.ClientAuth")
	}
	return c.TLS.PeerCertificates[0], c.TLS.VerifiedChains, nil
}

// value returns a field of a certificate, and whether there is such a field.
func (Config) value(c *x509.Certificate, f Field) (text string, known bool) {
	switch f {
	case CommonName:
		return c.Subject.CommonName, true
	case Subject:
		return c.Subject.String(), true
	case DNS:
		return first(c.DNSNames), true
	case Email:
		return first(c.EmailAddresses), true
	case URI:
		if len(c.URIs) > 0 {
			text = c.URIs[0].String()
		}
		return text, true
	case Serial:
		if c.SerialNumber != nil {
			text = c.SerialNumber.String()
		}
		return text, true
	}
	return "", false
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func attributes(c *x509.Certificate) map[string]string {
	var cfg Config
	uri, _ := cfg.value(c, URI)
	serial, _ := cfg.value(c, Serial)
	all := map[string]string{
		"common_name": c.Subject.CommonName, "organisation": first(c.Subject.Organization), //nolint:misspell // its name
		"organisational_unit": first(c.Subject.OrganizationalUnit), "serial": serial, "dns": first(c.DNSNames),
		"email": first(c.EmailAddresses), "uri": uri,
	}
	for name, value := range all {
		if value == "" {
			delete(all, name)
		}
	}
	return all
}
