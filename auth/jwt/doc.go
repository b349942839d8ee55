// Package jwt authenticates clients by JSON Web Tokens (RFC 7519), as their password or as their user
// name. Signatures are verified with HMAC, RSA (PKCS #1 v1.5 and PSS), ECDSA or Ed25519, with keys that
// are given, or those of a JWK set at a URL.
//
//	a, err := jwt.New(jwt.Config{
//		JWKS:     "https://login.example.com/.well-known/jwks.json",
//		Issuer:   "https://login.example.com/",
//		Audience: "mqtt",
//	})
//	b, err := shoal.New(shoal.WithAuthenticator(a), …)
//
// # Claims
//
// The principal has the name that the claim sub has, or the one that Config.NameClaim says. Claims that
// are texts, numbers or booleans are attributes of the client, for rules with %{name}. The claim acl has
// rules as in package auth/acl, if there is one; Source.Everybody has rules for all, such as
// "tenants/%{tenant}/#". Rules of a token last as long as the login.
//
// A token must have exp, unless Config.NoExpiry allows it to last for ever. When it has expired the
// connection is closed with Maximum connect time (0xA0). nbf, and, if they are configured, iss and aud
// are checked, too.
//
// # Keys
//
// An algorithm is accepted only if a key of its own type is configured, and a key is used for its own
// type only: what is signed with HMAC and a public key as its secret is refused, and so is "none".
//
// A JWK set is fetched when a client presents a token first, again after Config.Refresh, and when a
// token names a key that is not in it, at most every ten seconds. While it cannot be fetched, the keys
// from before are used for Config.KeepKeys. Symmetric keys in it are ignored.
package jwt
