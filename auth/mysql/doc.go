// Package mysql authenticates clients by users and rules in tables of MySQL or MariaDB.
//
//	a, err := mysql.New(mysql.Config{DSN: "shoal:secret@tcp(127.0.0.1:3306)/shoal"})
//	b, err := shoal.New(shoal.WithAuthenticator(a), …)
//
// By default the tables and columns are comqtt's:
//
//	CREATE TABLE auth (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255) NOT NULL,
//	                   allow SMALLINT NOT NULL DEFAULT 1);
//	CREATE TABLE acl  (username VARCHAR(255) NOT NULL, topic VARCHAR(255) NOT NULL,
//	                   access SMALLINT NOT NULL DEFAULT 3, INDEX (username));
//
// Config.Tables has others; Config.UserQuery and RulesQuery are queries of one's own, with ${name} for
// whom they ask. Package auth/sqlsource says what the columns mean. For comqtt's meaning set
// Source.Order to acl.LongestWins, Source.Passwords to password.Comqtt of its password-hash, and
// Source.Login and ACL to source.ComqttMode of its modes.
//
// New does no I/O: connections are made when clients ask. Queries are prepared once for each
// connection.
package mysql
