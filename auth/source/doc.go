// Package source makes a shoal.Authenticator and shoal.Authorizer of a place where users and rules
// are kept: a file, a database, a directory, a service. The place is a Source, and only says what
// it knows; everything else is here, once: passwords are verified, rules decided, answers cached,
// questions shared, and a place that is down is waited for no longer than Config.Timeout.
//
// The packages beside this one are sources. One's own is a type of two methods:
//
//	a, err := source.New(mine, source.Config{Name: "mine"})
//	b, err := shoal.New(shoal.WithAuthenticator(a), …)
//	…
//	err = a.Close()
//
// # The login
//
// Clients are known by their user name, or by their client ID, as Config.Login says. Whoever has no
// such name or no password is refused before the source is asked. The source returns the stored
// hash of the password, or says that it has verified it. Slow hashes are computed a few at a time,
// for all clients together; a password that was right is remembered for the lifetime of answers, as
// an HMAC with a key of this process, so that reconnecting clients do not need a slow hash again.
// An unknown user takes as long as a wrong password.
//
// # Caching
//
// Answers of the source are cached by name, and by name and password where it verified the
// password, for Config.TTL, unknown users and users without rules for Config.NegativeTTL; at most
// Config.Entries are kept, those longest unused are dropped. Passwords are part of a key only as an
// HMAC. Clients that ask the same at the same time share one question. Invalidate and InvalidateAll
// forget answers, also those that are still on their way. Rules that changed take effect
// when the cached ones end: on publishing within Config.TTL after the broker's own minute, see
// shoal.Authorizer; OnInvalidate connects Invalidate with it. Subscriptions that were
// granted stay.
//
// # A source that is down
//
// A question ends after Config.Timeout at the latest. After five failures in a row nobody is asked
// for a second, then one question tries, so that publishing clients do not wait again and again.
// What clients get in the meantime is what Config.WhenDown says, by default a refusal with Server
// unavailable (0x88). A client that waits for a source holds up no other client.
package source
