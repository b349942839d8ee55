package sqlsource

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var dialect = Dialect{
	Quote:       func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` },
	Placeholder: func(n int) string { return fmt.Sprint("$", n) },
}

func TestTablesBecomeQueries(t *testing.T) {
	users, rules, err := (&Tables{}).queries(dialect)
	require.NoError(t, err)
	require.Equal(t, `SELECT "username" AS "name", "password" AS "password", "allow" AS "allow" FROM "auth" `+
		`WHERE "username" = ${name}`, users)
	require.Equal(t, `SELECT "username" AS "name", "topic" AS "topic", "access" AS "access" FROM "acl" `+
		`WHERE "username" = ${name}`, rules)
	users, rules, err = (&Tables{
		Users: "app.people", UserName: `na"me`, Allow: "-", Salt: "salt", Superuser: "admin",
		Attributes: map[string]string{"tenant": "tenant_id", "area": "area"}, Permission: "p", Action: "a", QoS: "q", Retain: "r", OrderBy: "id",
	}).queries(dialect)
	require.NoError(t, err)
	require.Equal(t, `SELECT "na""me" AS "name", "password" AS "password", "salt" AS "salt", "admin" AS "superuser", `+
		`"area" AS "area", "tenant_id" AS "tenant" FROM "app"."people" WHERE "na""me" = ${name}`, users)
	require.Equal(t, `SELECT "username" AS "name", "topic" AS "topic", "p" AS "permission", "a" AS "action", "q" AS "qos", `+
		`"r" AS "retain" FROM "acl" WHERE "username" = ${name} ORDER BY "id"`, rules)
	for want, wrong := range map[string]Tables{
		"required":                {UserName: "-"},
		"the name of something":   {Attributes: map[string]string{"password": "x"}},
		`the column for "topic"`:  {Topic: "a\x00"},
		`the column for "tenant"`: {Attributes: map[string]string{"tenant": ""}},
		`the column for "retain"`: {Retain: "\x00"},
	} {
		_, _, err := wrong.queries(dialect)
		require.ErrorContains(t, err, want)
	}
}

func TestNamesAreBound(t *testing.T) {
	text, n, err := dialect.bind("SELECT p FROM t WHERE a = ${name} OR b = ${name} -- 50% {x} $1")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, "SELECT p FROM t WHERE a = $1 OR b = $2 -- 50% {x} $1", text)
	for _, q := range []string{"", "SELECT 1", "SELECT ${user}", "SELECT ${name", "SELECT ${name} ${}"} {
		_, _, err := dialect.bind(q)
		require.Error(t, err, q)
	}
}

func TestRowsOfRules(t *testing.T) {
	s := &Source{}
	for _, r := range []row{
		{"topic": "a"},
		{"topic": "a", "access": "x"},
		{"topic": "a", "access": "4"},
		{"topic": "a", "permission": "yes", "action": "both"},
		{"topic": "a", "permission": "allow"},
		{"topic": "a", "permission": "allow", "action": "write"},
		{"topic": "a", "permission": "allow", "action": "both", "qos": "0;1"},
		{"topic": "a", "permission": "allow", "action": "both", "qos": "3"},
	} {
		rules, err := s.rule(r)
		require.Error(t, err, r)
		require.Len(t, rules, 1)
		require.Equal(t, "deny both a", rules[0].String())
	}
	rules, err := s.rule(row{"topic": "a", "permission": "deny", "action": "publish", "qos": "0, 2", "retain": "t"})
	require.NoError(t, err)
	require.Len(t, rules, 1)
	require.Equal(t, "deny publish a", rules[0].String())
	require.Len(t, rules[0].QoS, 2)
	for text, want := range map[string]bool{
		"": false, "0": false, "f": false, "false": false, "\x00": false, "no": false, "1": true, "t": true, "True": true, "2": true, "\x01": true,
	} {
		require.Equal(t, want, truth(text), "%q", text)
	}
}
