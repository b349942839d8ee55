// Package cert authenticates clients by their TLS certificates: the user name is a field of the
// certificate that the listener has verified.
//
//	a, err := cert.New(cert.Config{Name: cert.CommonName, CRLs: []string{"revoked.crl"}})
//	b, err := shoal.New(shoal.WithAuthenticator(a), shoal.WithTLS(…), …)
//
// The listener must ask for certificates and verify them (tls.RequireAndVerifyClientCert, or
// tls.VerifyClientCertIfGiven beside other authenticators); a connection without a verified
// certificate is refused. A user name that a client gives must be the certificate's, unless
// Config.AnyUserName is set. With Config.ClientID its client ID is a field of the certificate, too.
// Connections end when the certificate does.
//
// Attributes of the client are the fields common_name, organisation, organisational_unit, serial,
// dns, email and uri, as far as the certificate has them, for rules with %{name}. Rules are
// Source.Everybody; to have a certificate and a password checked, or rules from elsewhere, combine it
// by package auth.
//
// # Revocation
//
// Config.CRLs are certificate revocation lists in PEM or DER, which are read again when the files
// change. A list counts for the certificates of the authority that has signed it, and is only used if
// that signature is right. Once there is a list for an authority, it must be up to date: after its Next
// Update all its clients are refused, unless Config.OldCRLs is set. With Config.RequireCRL an authority
// without a list is refused, too. All certificates of the chain but the root are looked up.
//
// Go's TLS does not ask clients to staple OCSP answers, so those are not looked at.
package cert
