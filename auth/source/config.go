package source

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/password"
)

// By is what clients are known by.
type By string

// What clients may be known by.
const (
	// ByUserName is the default. For rules it means the name of the principal.
	ByUserName By = "user-name"
	// ByClientID looks the client ID up.
	ByClientID By = "client-id"
	// Anyone lets in everybody, or allows everything, without a question.
	Anyone By = "anyone"
)

// ComqttMode returns the By of comqtt's auth-mode and acl-mode: 0 anyone, 1 user name, 2 client ID.
func ComqttMode(mode int) (By, error) {
	modes := []By{Anyone, ByUserName, ByClientID}
	if mode < 0 || mode >= len(modes) {
		return "", fmt.Errorf("source: mode is %d; it must be from 0 to %d", mode, len(modes)-1)
	}
	return modes[mode], nil
}

// Down is what clients get while a source cannot be asked.
type Down string

// What clients may get while a source cannot be asked.
const (
	// Refuse is the default: nobody is let in, and nothing allowed, that is not in the cache.
	Refuse Down = "refuse"
	// Stale uses answers that are older than Config.TTL by up to Config.StaleFor, and refuses
	// what there are none for.
	Stale Down = "stale"
	// Allow uses such answers, and where there are none lets in everybody, without looking at
	// passwords, and allows everything.
	Allow Down = "allow"
)

// Config is what New takes. The zero value is a good one for a source that is asked over a network.
type Config struct {
	// Name of the source in errors and logs. Default "source".
	Name string
	// Login says what users are known by when they connect. Default ByUserName.
	Login By
	// ACL says what rules are kept by. Default ByUserName.
	ACL By
	// Anonymous lets in clients that give no user name, as the principal "". Rules are
	// asked for by that name.
	Anonymous bool
	// NoPassword lets the source see clients without a name or a password, and decide.
	NoPassword bool
	// Passwords is how the source stores passwords. Default: each hash says how it was made.
	Passwords password.Format
	// Limiter bounds how many slow hashes are computed at once. Default: one of its own; better
	// is one for all sources of a process.
	Limiter *password.Limiter
	// Everybody are rules that come before those of the source; %u is useful in them. Their order
	// is that of Order.
	Everybody []acl.Rule
	// Order says which of several rules decides. Default acl.DenyWins.
	Order acl.Order
	// AllowUnmatched allows what no rule is about. Default: it is denied.
	AllowUnmatched bool
	// Local says that the source answers from memory: it is asked at once, each time.
	Local bool
	// Timeout is how long an answer may take. Default 3s.
	Timeout time.Duration
	// Questions is how many may be on their way at once. Others wait. Default 64.
	Questions int
	// TTL is how long answers are used. Default one minute; negative: not at all.
	TTL time.Duration
	// NegativeTTL is how long it is remembered that there is no such user, that a password was
	// refused, or that there are no rules. Default 5s; negative: not at all.
	NegativeTTL time.Duration
	// Entries is how many answers of each kind are kept. Default 10,000.
	Entries int
	// WhenDown is what clients get while the source cannot be asked. Default Refuse.
	WhenDown Down
	// StaleFor is how long after TTL answers are used by Stale and Allow. Default one hour.
	StaleFor time.Duration
	// Logger gets a warning when the source cannot be asked, once until it can, and when what it
	// stores cannot be understood. Default: none.
	Logger *slog.Logger
}

const (
	defaultTimeout     = 3 * time.Second
	defaultQuestions   = 64
	defaultTTL         = time.Minute
	defaultNegativeTTL = 5 * time.Second
	defaultEntries     = 10_000
	defaultStaleFor    = time.Hour
)

// withDefaults returns c with its defaults, or says what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	orElse(&c.Name, "source")
	orElse(&c.Login, ByUserName)
	orElse(&c.ACL, ByUserName)
	orElse(&c.WhenDown, Refuse)
	orElse(&c.Timeout, defaultTimeout)
	orElse(&c.Questions, defaultQuestions)
	orElse(&c.TTL, defaultTTL)
	orElse(&c.NegativeTTL, min(defaultNegativeTTL, max(c.TTL, 1)))
	orElse(&c.Entries, defaultEntries)
	orElse(&c.StaleFor, defaultStaleFor)
	if c.Limiter == nil {
		c.Limiter = password.NewLimiter(0)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: Config."+format, append([]any{c.Name}, args...)...))
	}
	known := func(by By) bool { return by == ByUserName || by == ByClientID || by == Anyone }
	if !known(c.Login) {
		wrong("Login is %q; it must be %q, %q or %q", c.Login, ByUserName, ByClientID, Anyone)
	}
	if !known(c.ACL) {
		wrong("ACL is %q; it must be %q, %q or %q", c.ACL, ByUserName, ByClientID, Anyone)
	}
	if c.WhenDown != Refuse && c.WhenDown != Stale && c.WhenDown != Allow {
		wrong("WhenDown is %q; it must be %q, %q or %q", c.WhenDown, Refuse, Stale, Allow)
	}
	if c.Timeout < 0 || c.StaleFor < 0 || c.Questions < 0 || c.Entries < 0 {
		wrong("Timeout, StaleFor, Questions and Entries must not be negative")
	}
	if err := c.Passwords.Validate(); err != nil {
		wrong("Passwords: %w", err)
	}
	return c, errors.Join(errs...)
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}
