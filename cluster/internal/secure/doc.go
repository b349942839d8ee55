// Package secure puts TLS around the streams between nodes, both sides of which show a certificate: nothing is read from a connection that has not
// shown one, neither by raft nor by gRPC.
package secure
