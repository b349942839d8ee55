// Package password makes hashes of passwords and verifies passwords against stored hashes.
//
// Parse reads hashes that say themselves how they were made:
//
//	$argon2id$v=19$m=19456,t=2,p=1$salt$hash    argon2id and argon2i, PHC string
//	$2b$10$…                                    bcrypt ($2a$, $2b$, $2y$)
//	$scrypt$ln=15,r=8,p=1$salt$hash             scrypt, PHC string
//	$pbkdf2-sha512$i=210000$salt$hash           PBKDF2 (sha256, sha512, sha1), PHC string; passlib's
//	                                            form without "i=" and with '.' for '+', too
//	$7$101$salt$hash                            mosquitto_passwd, PBKDF2 with SHA-512
//	$6$salt$hash                                mosquitto_passwd before 2.0, SHA-512
//	SCRAM-SHA-256$4096:salt$StoredKey:ServerKey the keys of package auth/scram and of PostgreSQL
//
// A Format reads what does not say so, for migration: plain text, unsalted or salted digests, and
// HMACs, as other brokers store them.
//
// # Limits
//
// What a stored hash asks for is bounded, because whoever may write a hash must not be able to
// stall the server: 256 MiB of memory, 4 GiB of memory passes (argon2, scrypt), bcrypt cost 16,
// 10,000,000 iterations. Parse refuses more. A Limiter bounds how many slow hashes are computed at
// once, so that many logins leave processors to the clients that are connected.
//
// All comparisons take the same time wherever the difference is. Errors and formatted values never
// contain a hash or a password.
package password
