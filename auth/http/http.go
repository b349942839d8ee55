package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
)

// service is a source.Source.
type service struct {
	cfg       Config
	transport *http.Transport
	client    *http.Client
}

// judge is a service that is asked about each topic.
type judge struct{ *service }

var (
	_ source.Keyed = (*service)(nil)
	_ source.Judge = (*judge)(nil)
	_ io.Closer    = (*service)(nil)
)

// Close implements io.Closer.
func (s *service) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// maxAnswer is how large the body of an answer may be.
const maxAnswer = 4 << 20

// answer is the JSON of an answer.
type answer struct {
	Result     string            `json:"result"`
	Name       string            `json:"name"`
	Superuser  bool              `json:"superuser"`
	Attributes map[string]string `json:"attributes"`
	Rules      json.RawMessage   `json:"rules"`
	Expires    int64             `json:"expires"`
}

func loginValues(q *source.Query) map[string]string {
	c := q.Credentials
	v := map[string]string{
		"name": q.Name, "user_name": c.UserName, "client_id": c.ClientID, "password": string(c.Password), "listener": c.Listener,
	}
	if c.RemoteAddr != nil {
		v["remote_ip"] = c.RemoteAddr.String()
		if host, _, err := net.SplitHostPort(v["remote_ip"]); err == nil {
			v["remote_ip"] = host
		}
	}
	if c.TLS != nil && len(c.TLS.PeerCertificates) > 0 {
		v["common_name"] = c.TLS.PeerCertificates[0].Subject.CommonName
	}
	return v
}

// Key implements source.Keyed: an answer depends on all that is sent.
func (s *service) Key(q *source.Query) string {
	values := loginValues(q)
	delete(values, "password") // which is a key anyhow
	var b strings.Builder
	for _, field := range slices.Sorted(maps.Keys(s.cfg.AuthFields)) {
		_, _ = fmt.Fprintf(&b, "%q", fill(s.cfg.AuthFields[field], values)) // never fails
	}
	return b.String()
}

// User implements source.Source.
func (s *service) User(ctx context.Context, q *source.Query) (*source.User, error) {
	status, body, err := s.ask(ctx, s.cfg.AuthURL, s.cfg.AuthFields, loginValues(q))
	switch {
	case errors.Is(err, errUnsendable):
		return nil, fmt.Errorf("%w: %w", source.ErrRefused, err)
	case err != nil:
		return nil, err
	case s.cfg.Comqtt:
		if status >= http.StatusInternalServerError {
			return nil, s.unexpected(s.cfg.AuthURL, status)
		}
		if string(body) == "1" {
			return &source.User{Verified: true}, nil
		}
		return nil, source.ErrRefused
	}
	a, err := s.understand(s.cfg.AuthURL, status, body)
	if err != nil {
		return nil, err
	}
	switch a.Result {
	case "allow":
	case "deny":
		return nil, source.ErrRefused
	default:
		return nil, fmt.Errorf("http: %s: result is %q; it must be allow or deny", s.cfg.AuthURL, a.Result)
	}
	u := &source.User{Verified: true, Name: a.Name, Superuser: a.Superuser, Attributes: a.Attributes}
	if a.Expires != 0 {
		u.Expires = time.Unix(a.Expires, 0)
	}
	if a.Rules != nil {
		rules, err := acl.ParseJSON(s.cfg.Source.Order, a.Rules)
		if err == nil {
			u.Rules, err = acl.Compile(s.cfg.Source.Order, rules)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: http: %s: rules: %w", source.ErrMalformed, s.cfg.AuthURL, err)
		}
		u.HasRules = true
	}
	return u, nil
}

// Rules implements source.Source.
func (s *service) Rules(ctx context.Context, subject *source.Subject) (*acl.List, error) {
	if s.cfg.ACLURL == "" {
		return nil, nil
	}
	status, body, err := s.ask(ctx, s.cfg.ACLURL, s.cfg.ACLFields, map[string]string{"name": subject.Name})
	switch {
	case errors.Is(err, errUnsendable):
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch {
	case status == http.StatusOK:
	case refused(status), s.cfg.Comqtt && status < http.StatusInternalServerError, status == http.StatusNoContent:
		return nil, nil
	default:
		return nil, s.unexpected(s.cfg.ACLURL, status)
	}
	rules, err := acl.ParseJSON(s.cfg.Source.Order, body)
	if err != nil { // nothing is allowed, not even by Everybody
		return acl.Nothing(), fmt.Errorf("http: %s: %w", s.cfg.ACLURL, err)
	}
	return acl.Compile(s.cfg.Source.Order, rules)
}

// Judge implements source.Judge.
func (j *judge) Judge(ctx context.Context, s *source.Subject, r *shoal.AccessRequest) (acl.Decision, error) {
	status, body, err := j.ask(ctx, j.cfg.ACLURL, j.cfg.ACLFields, map[string]string{
		"name": s.Name, "user_name": s.UserName, "client_id": s.ClientID, "topic": r.Topic, "action": r.Action.String(),
		"qos": strconv.Itoa(int(r.QoS)), "retain": strconv.FormatBool(r.Retain),
	})
	switch {
	case errors.Is(err, errUnsendable):
		return acl.Denied, nil
	case err != nil:
		return acl.Denied, err
	}
	a, err := j.understand(j.cfg.ACLURL, status, body)
	if errors.Is(err, source.ErrRefused) {
		return acl.Denied, nil
	}
	if err != nil {
		return acl.Denied, err
	}
	switch a.Result {
	case "allow":
		return acl.Allowed, nil
	case "deny":
		return acl.Denied, nil
	case "ignore":
		return acl.NoMatch, nil
	}
	return acl.Denied, fmt.Errorf("http: %s: result is %q; it must be allow, deny or ignore", j.cfg.ACLURL, a.Result)
}

func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound
}

// understand reads an answer. ErrRefused stands for a status that refuses.
func (s *service) understand(url string, status int, body []byte) (*answer, error) {
	switch {
	case refused(status):
		return nil, source.ErrRefused
	case status == http.StatusNoContent:
		return &answer{Result: "allow"}, nil
	case status != http.StatusOK:
		return nil, s.unexpected(url, status)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("http: %s: the answer is no JSON object: %w", url, err)
	}
	return &a, nil
}

func (s *service) unexpected(url string, status int) error {
	return fmt.Errorf("http: %s: unexpected status %d %s", url, status, http.StatusText(status))
}

// errUnsendable says that a value of the client's cannot be sent as it is.
var errUnsendable = errors.New("a value cannot be sent")

// ask sends a request and returns the answer.
func (s *service) ask(
	ctx context.Context, to string, fields, values map[string]string,
) (status int, body []byte, err error) {
	r, err := s.request(ctx, to, fields, values)
	if err != nil {
		return 0, nil, err
	}
	answer, err := s.client.Do(r)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) { // whose text has the query, and so perhaps a password
			err = at.Err
		}
		return 0, nil, fmt.Errorf("http: %s %s: %w", s.cfg.Method, to, err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("http: %s %s: %w", s.cfg.Method, to, err)
	}
	return answer.StatusCode, body, nil
}

func (s *service) request(ctx context.Context, to string, fields, values map[string]string) (*http.Request, error) {
	for name, v := range values {
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%w: %s is not UTF-8", errUnsendable, name)
		}
	}
	filled := make(map[string]string, len(fields))
	query := make(url.Values, len(fields))
	for name, template := range fields {
		filled[name] = fill(template, values)
		query.Set(name, filled[name])
	}
	var body []byte
	contentType := ""
	switch {
	case s.cfg.Method == http.MethodGet:
		u, err := url.Parse(to)
		if err != nil {
			return nil, errors.New("http: the URL cannot be read")
		}
		own := u.Query()
		maps.Copy(own, query)
		u.RawQuery = own.Encode()
		to = u.String()
	case s.cfg.Form:
		body, contentType = []byte(query.Encode()), "application/x-www-form-urlencoded"
	default:
		var err error
		if body, err = json.Marshal(filled); err != nil {
			return nil, fmt.Errorf("http: %w", err)
		}
		contentType = "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, s.cfg.Method, to, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("http: Config.Method and URLs: %w", errors.Unwrap(err))
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for name, template := range s.cfg.Headers {
		v := fill(template, values)
		if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, fmt.Errorf("%w: the header %s would have a control character", errUnsendable, name)
		}
		r.Header.Set(name, v)
	}
	return r, nil
}
