package main

import (
	"database/sql"
	"fmt"
	"strconv"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/examples/internal/programtest"
	"github.com/shoalmq/shoal/internal/testservers"
)

// execute opens a database and executes statements, one after another.
func execute(t *testing.T, driver, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		require.NoError(t, err, s)
	}
}

// rulesOf gives a client access 1 to one/#, 2 to two/#, 3 to both/#, and 0 to both/denied. comqtt's files have rules by ClientID, in the column username.
func rulesOf(client string) string {
	return fmt.Sprintf("INSERT INTO acl (username, topic, access) VALUES ('%[1]s', 'one/#', 1), ('%[1]s', 'two/#', 2), ('%[1]s', 'both/#', 3), ('%[1]s', 'both/denied', 0)", client)
}

// users are comqtt's tables with its users, and the rules of two clients.
var users = []string{
	"CREATE TABLE auth (id SERIAL PRIMARY KEY, username VARCHAR(255) NOT NULL UNIQUE, password VARCHAR(255) NOT NULL, allow SMALLINT DEFAULT 1 NOT NULL)",
	"CREATE TABLE acl (id SERIAL PRIMARY KEY, username VARCHAR(255) NOT NULL, topic VARCHAR(255) NOT NULL, access SMALLINT DEFAULT 3 NOT NULL)",
	"INSERT INTO auth (username, password, allow) VALUES ('zhangsan', '321654', 1), ('lisi', '321654', 0)",
	rulesOf("reader"), rulesOf("writer"),
}

// requireRules starts a broker with a datasource, and requires that zhangsan's clients may publish to published and subscribe to subscribed, and not the other way around.
func requireRules(t *testing.T, datasource, path, published, subscribed string) {
	t.Helper()
	port := programtest.FreePorts(t, 1)[0]
	p := single.Start(t, "-tcp", fmt.Sprint("127.0.0.1:", port), "-ws", "", "-http", "", "-auth-way", "1", "-auth-ds", datasource, "-auth-path", path)
	p.Await(t, started)
	url := fmt.Sprintf("tcp://zhangsan:321654@127.0.0.1:%d", port)
	reader := programtest.ConnectURL(t, url, "reader", false)
	for filter, may := range map[string]bool{
		subscribed: true, "both/1": true, published: false, "other": false, "#": false, "both/denied": false,
		"both/#": false, // it would have both/denied, too
	} {
		require.Equal(t, may, reader.MaySubscribe(filter), filter)
	}
	writer := programtest.ConnectURL(t, url, "writer", false)
	writer.Publish("both/denied", 1, false, "denied")
	writer.Publish(subscribed, 1, false, "denied")
	writer.Publish("both/1", 1, false, "both")
	reader.Receive("both/1", "both")
	writer.Close()
	reader.Close()
	p.Interrupt(t)
}

// comqtt's auth-mysql.yml: 1 is to subscribe, 2 to publish.
func TestComqttMySQLUsers(t *testing.T) {
	server := testservers.MariaDB(t)
	root := "root@tcp(" + server.Addr() + ")/"
	execute(t, "mysql", root, "CREATE DATABASE comqtt")
	execute(t, "mysql", root+"comqtt", users...)
	execute(t, "mysql", root, "SET PASSWORD = PASSWORD('12345678')")
	path := comqttFile(t, "auth-mysql.yml", "host: localhost", "host: 127.0.0.1", "3306", strconv.Itoa(server.Port()))
	requireUsers(t, "2", path)
	requireRules(t, "2", path, "two/1", "one/1")
}

// comqtt's auth-postgresql.yml: its keys publish, subscribe and pubsub have no effect in comqtt, nor here: 1 is to subscribe, 2 to publish, too.
func TestComqttPostgresUsers(t *testing.T) {
	server := testservers.Postgres(t)
	root := "postgres://postgres@" + server.Addr() + "/"
	execute(t, "pgx", root+"postgres?sslmode=disable", "CREATE DATABASE comqtt")
	execute(t, "pgx", root+"comqtt?sslmode=disable", users...)
	path := comqttFile(t, "auth-postgresql.yml", "host: localhost", "host: 127.0.0.1", "5432", strconv.Itoa(server.Port()))
	requireUsers(t, "3", path)
	requireRules(t, "3", path, "two/1", "one/1")
}
