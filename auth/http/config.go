package http

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/shoalmq/shoal/auth/source"
)

// Config is what New takes.
type Config struct {
	// AuthURL is asked about logins. Required, unless Source.Login is source.Anyone.
	AuthURL string
	// ACLURL is asked for rules. Without it only the rules that come with logins, and
	// Source.Everybody, count.
	ACLURL string
	// Method is POST, the default, or GET.
	Method string
	// Form sends a form instead of JSON with POST.
	Form bool
	// AuthFields and ACLFields are the fields of requests and their templates. Default: see the
	// package comment.
	AuthFields, ACLFields map[string]string
	// Headers are further headers and their templates, without ${password}, for both requests:
	// without values of logins and topics.
	Headers map[string]string
	// PerTopic asks about each topic instead of for all rules of a client.
	PerTopic bool
	// Comqtt speaks as comqtt does.
	Comqtt bool
	// TLS has the authorities of the service, and a client's certificate for mutual TLS.
	TLS *tls.Config
	// MaxIdle is how many connections are kept while nobody asks. Default 64.
	MaxIdle int
	// Source says what is done with users and rules.
	Source source.Config
}

const (
	defaultIdle = 64
	idleTime    = 90 * time.Second
	dialTimeout = 5 * time.Second
)

var (
	ofClients = []string{"name", "user_name", "client_id"}
	ofLogins  = append([]string{"password", "remote_ip", "listener", "common_name"}, ofClients...)
	ofTopics  = append([]string{"topic", "action", "qos", "retain"}, ofClients...)
)

// New makes an Authenticator, or says what is wrong with cfg. It does no I/O.
func New(cfg Config) (*source.Authenticator, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig: cfg.TLS, ForceAttemptHTTP2: true, MaxIdleConns: cfg.MaxIdle, MaxIdleConnsPerHost: cfg.MaxIdle,
		IdleConnTimeout: idleTime,
	}
	s := &service{cfg: cfg, transport: transport, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if cfg.PerTopic {
		return source.New(&judge{s}, cfg.Source)
	}
	return source.New(s, cfg.Source)
}

func (c Config) withDefaults() Config {
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	c.Method = strings.ToUpper(c.Method)
	if c.MaxIdle == 0 {
		c.MaxIdle = defaultIdle
	}
	if c.Source.Name == "" {
		c.Source.Name = "http"
	}
	if c.AuthFields == nil {
		c.AuthFields = map[string]string{
			"user_name": "${user_name}", "client_id": "${client_id}", "password": "${password}",
		}
		if c.Comqtt {
			c.AuthFields = map[string]string{"user": "${name}", "password": "${password}"}
		}
	}
	if c.ACLFields == nil {
		switch {
		case c.Comqtt:
			c.ACLFields = map[string]string{"user": "${name}"}
		case c.PerTopic:
			c.ACLFields = make(map[string]string)
			for _, name := range []string{"user_name", "client_id", "topic", "action", "qos", "retain"} {
				c.ACLFields[name] = "${" + name + "}"
			}
		default:
			c.ACLFields = map[string]string{"name": "${name}"}
		}
	}
	return c
}

func (c *Config) check() error {
	var errs []error
	if c.AuthURL != "" || c.Source.Login != source.Anyone {
		errs = append(errs, checkURL("AuthURL", c.AuthURL))
	}
	if c.ACLURL != "" {
		errs = append(errs, checkURL("ACLURL", c.ACLURL))
	}
	if c.Method != http.MethodGet && c.Method != http.MethodPost {
		errs = append(errs, fmt.Errorf("http: Config.Method is %q; it must be GET or POST", c.Method))
	}
	if c.PerTopic && (c.ACLURL == "" || c.Comqtt) {
		errs = append(errs, errors.New("http: Config.PerTopic needs ACLURL, and is not comqtt's"))
	}
	acl := []string{"name"} // rules are kept by it
	if c.PerTopic {
		acl = ofTopics
	}
	errs = append(errs, checkTemplates("AuthFields", c.AuthFields, ofLogins),
		checkTemplates("ACLFields", c.ACLFields, acl), checkTemplates("Headers", c.Headers, []string{"name"}))
	return errors.Join(errs...)
}

func checkURL(field, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" { // which may repeat a password
		return fmt.Errorf("http: Config.%s must be http://host/path or https://host/path", field)
	}
	return nil
}

func checkTemplates(field string, templates map[string]string, known []string) error {
	for key, text := range templates {
		for _, name := range names(text) {
			if !slices.Contains(known, name) {
				return fmt.Errorf("http: Config.%s[%q] has ${%s}; there are %v", field, key, name, known)
			}
		}
	}
	return nil
}

// names returns those of a template's values.
func names(template string) (list []string) {
	for {
		_, rest, found := strings.Cut(template, "${")
		if !found {
			return list
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return append(list, rest+" without a brace")
		}
		list = append(list, name)
		template = after
	}
}

// fill puts values into a template, each once.
func fill(template string, values map[string]string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "${")
		_, _ = b.WriteString(before) // never fails, nor does the other
		if !found {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		_, _ = b.WriteString(values[name])
		template = after
	}
}
