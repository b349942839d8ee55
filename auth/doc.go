// Package auth combines authenticators: First lets in whom one of several lets in, All whom every one of them does, Authorized adds an
// Authorizer. What they return is an Authorizer and an EnhancedAuthenticator, too, if what they are made of is. They may be combined
// again.
//
//	auth.First(scramUsers, auth.All(certificates, passwords))
//
// Refusals win: what one authorizer that is asked denies is denied.
//
// The packages below this one are authenticators.
package auth
