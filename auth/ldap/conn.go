package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/shoalmq/shoal/auth/source"
)

// conn is a connection, and whom it is bound as.
type conn struct {
	*ldap.Conn
	as string // serviceBind, or something else
}

const (
	serviceBind = "service"
	dialTimeout = 5 * time.Second
)

// with calls fn with a connection. One that was kept may have broken meanwhile: then fn is called
// again with a new one.
func (d *directory) with(ctx context.Context, fn func(*conn) error) error {
	select {
	case c := <-d.idle:
		err := d.use(ctx, c, fn)
		if err == nil || answered(err) || ctx.Err() != nil {
			return err
		}
	default:
	}
	c, err := d.dial(ctx)
	if err != nil {
		return err
	}
	return d.use(ctx, c, fn)
}

// use calls fn, and keeps the connection if it is still good.
func (d *directory) use(ctx context.Context, c *conn, fn func(*conn) error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // which ends what waits
	err := fn(c)
	if !stop() {
		return errors.Join(context.Cause(ctx), err)
	}
	if err == nil || answered(err) {
		select {
		case d.idle <- c:
			return err
		default:
		}
	}
	_ = c.Close() // there is nothing to say to it any more
	return err
}

// answered reports whether an error is one that the directory has answered with.
func answered(err error) bool {
	if errors.Is(err, source.ErrUnknownUser) || errors.Is(err, source.ErrRefused) || errors.Is(err, source.ErrMalformed) {
		return true
	}
	var result *ldap.Error
	return errors.As(err, &result) && refuses(result.ResultCode)
}

func (d *directory) dial(ctx context.Context) (*conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if deadline, ok := ctx.Deadline(); ok {
		dialer.Deadline = deadline
	}
	config := d.tls()
	l, err := ldap.DialURL(d.cfg.URL, ldap.DialWithDialer(dialer), ldap.DialWithTLSConfig(config))
	if err != nil {
		return nil, fmt.Errorf("ldap: connect to %s: %w", d.cfg.URL, err)
	}
	if d.cfg.StartTLS {
		stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // which ends the wait
		err := l.StartTLS(config)
		if !stop() || err != nil {
			return nil, errors.Join(fmt.Errorf("ldap: StartTLS with %s: %w", d.cfg.URL, err), context.Cause(ctx), l.Close())
		}
	}
	return &conn{Conn: l}, nil
}

// tls returns the TLS configuration for the server of the URL.
func (d *directory) tls() *tls.Config {
	c := d.cfg.TLS
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.ServerName != "" || c.InsecureSkipVerify {
		return c
	}
	c = c.Clone()
	if u, err := url.Parse(d.cfg.URL); err == nil {
		c.ServerName = u.Hostname()
	}
	return c
}

// service binds a connection as the service, unless it is already.
func (d *directory) service(c *conn) error {
	if c.as == serviceBind {
		return nil
	}
	var err error
	if d.cfg.BindDN == "" {
		err = c.UnauthenticatedBind("")
	} else {
		err = c.Bind(d.cfg.BindDN, d.cfg.BindPassword)
	}
	if err != nil {
		return fmt.Errorf("ldap: %s: bind as Config.BindDN %q: %w", d.cfg.URL, d.cfg.BindDN, err)
	}
	c.as = serviceBind
	return nil
}

// Close implements io.Closer.
func (d *directory) Close() error {
	for {
		select {
		case c := <-d.idle:
			_ = c.Close() // there is nothing to say to it any more
		default:
			return nil
		}
	}
}
