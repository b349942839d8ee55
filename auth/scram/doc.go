// Package scram authenticates clients of MQTT 5 with SCRAM-SHA-256 (RFC 5802 and RFC 7677), by AUTH packets: neither the password nor
// anything that could stand in for it travels or is stored, and the client learns that the server knows it, too.
//
//	keys, err := scram.NewKeys("pencil", 0) // when the password is set; store keys.String()
//	…
//	a, err := scram.New(scram.Config{Users: scram.Map{"ann": keys}})
//	b, err := shoal.New(shoal.WithAuthenticator(a), …)
//
// The client names the Authentication Method SCRAM-SHA-256 in CONNECT. Its first message may be there, too, or in an AUTH that answers
// the server's first, empty one. The server's last message is in CONNACK. User Name and Password of CONNECT are not looked at.
// The Principal is named after the user of the exchange. A re-authentication must be of the same user.
//
// Stored makes Users of a source of users, such as a database (package auth/source).
//
// A client that names no method, as none of MQTT 3 can, is refused, unless Config.Plain lets it in with User Name and Password, which are
// checked against the same keys. Other kinds of users are added with package auth.
//
// # Details
//
//   - Channel binding is not offered: a client that demands it (p=…) is refused. An authorisation identity must be the user's own name.
//   - User names and passwords are prepared with SASLprep (RFC 4013); what that prohibits is refused. ASCII stays as it is.
//   - Who asks for a user that does not exist gets a salt as any user has, always the same for the same name, and fails at the proof.
//     Give every node of a cluster the same Config.Secret, and all keys the same number of iterations and 16 bytes of salt, as NewKeys does;
//     otherwise the difference tells.
//   - Proofs are compared in constant time.
package scram
