// Package auth combines authenticators: First lets in whom one of several lets in, All whom every one of them does, Authorized adds an
// Authorizer. What they return is an Authorizer and an EnhancedAuthenticator, too, if what they are made of is. They may be combined
// again.
//
//	auth.First(scramUsers, auth.All(certificates, passwords))
//
// Refusals win: what one authorizer that is asked denies is denied.
//
// The packages below this one are authenticators: by files (auth/file, which also reads those of mosquitto and comqtt), by databases
// (auth/redis, auth/mysql, auth/postgres), by services (auth/http, auth/ldap, auth/jwt), by certificates (auth/cert) and by challenge and
// response (auth/scram). They are made of auth/source, which caches and verifies for all of them, auth/acl, which decides by rules, and
// auth/password, which makes and verifies hashes. auth/authtest is the contract for sources of one's own.
package auth
