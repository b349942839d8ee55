// Package postgres authenticates clients by users and rules in tables of PostgreSQL.
//
//	a, err := postgres.New(postgres.Config{DSN: "postgres://shoal:secret@127.0.0.1:5432/shoal"})
//	b, err := shoal.New(shoal.WithAuthenticator(a), …)
//
// By default the tables and columns are comqtt's:
//
//	CREATE TABLE auth (username text PRIMARY KEY, password text NOT NULL,
//	                   allow smallint NOT NULL DEFAULT 1);
//	CREATE TABLE acl  (username text NOT NULL, topic text NOT NULL,
//	                   access smallint NOT NULL DEFAULT 3);
//	CREATE INDEX ON acl (username);
//
// Config.Tables has others; Config.UserQuery and RulesQuery are queries of one's own, with ${name} for
// whom they ask. Package auth/sqlsource says what the columns mean. For comqtt's meaning set
// Source.Order to acl.LongestWins, Source.Passwords to password.Comqtt of its password-hash, and
// Source.Login and ACL to source.ComqttMode of its modes.
//
// New does no I/O: connections are made when clients ask. Queries are prepared once for each
// connection; behind a pooler that does not bear that, add default_query_exec_mode=exec to the DSN.
package postgres
