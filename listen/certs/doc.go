// Package certs keeps the TLS configuration of a listener up to date with the files it is made of.
//
//	c, err := certs.Load(certs.Files{Cert: "server.pem", Key: "server.key"})
//	go c.Watch(ctx, 5*time.Second, log)
//	b, err := shoal.New(shoal.WithListen("tls://:8883"), shoal.WithTLSConfig(c.Config()), …)
//
// New connections get the certificate that the files have now; those that are there stay. Files that cannot be read, or do not fit together,
// leave what was read before in force.
package certs
