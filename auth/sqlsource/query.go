package sqlsource

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Dialect is what differs between databases.
type Dialect struct {
	// Quote quotes one identifier.
	Quote func(name string) string
	// Placeholder returns the n-th parameter of a query, from 1 on.
	Placeholder func(n int) string
}

// Tables says where users and rules are. The zero value of each field has the default that comqtt's
// files have; "-" stands for no such column.
type Tables struct {
	// Users is the table of users, perhaps with its schema before a dot. Default "auth".
	Users string
	// UserName is its column with user names or client IDs. Default "username".
	UserName string
	// Password is its column with hashes. Default "password".
	Password string
	// Allow is its column that says whether a user may connect. Default "allow".
	Allow string
	// Salt is its column with salts. Default: none.
	Salt string
	// Superuser is its column that says whether a user may do everything. Default: none.
	Superuser string
	// Attributes are further columns, by the name of the attribute. Default: none.
	Attributes map[string]string

	// Rules is the table of rules. Default "acl".
	Rules string
	// RuleName is its column with user names or client IDs. Default "username".
	RuleName string
	// Topic is its column with filters. Default "topic".
	Topic string
	// Access is its column with access numbers. Default "access", if Permission is empty.
	Access string
	// Permission and Action are its columns with allow or deny, and publish, subscribe or both. Default:
	// none.
	Permission, Action string
	// QoS and Retain are its columns with what messages a rule is about. Default: none.
	QoS, Retain string
	// OrderBy is a column by which the rules are ordered. Default: none.
	OrderBy string
}

// none stands for no column.
const none = "-"

func (t *Tables) withDefaults() *Tables {
	c := *t
	for _, d := range []struct {
		to        *string
		otherwise string
	}{
		{&c.Users, "auth"},
		{&c.UserName, "username"},
		{&c.Password, "password"},
		{&c.Allow, "allow"},
		{&c.Salt, none},
		{&c.Superuser, none},
		{&c.Rules, "acl"},
		{&c.RuleName, "username"},
		{&c.Topic, "topic"},
		{&c.Permission, none},
		{&c.Action, none},
		{&c.QoS, none},
		{&c.Retain, none},
		{&c.OrderBy, none},
	} {
		if *d.to == "" {
			*d.to = d.otherwise
		}
	}
	if c.Access == "" {
		c.Access = "access"
		if c.Permission != none {
			c.Access = none
		}
	}
	return &c
}

// queries returns the queries for users and for rules.
func (t *Tables) queries(d Dialect) (users, rules string, err error) {
	t = t.withDefaults()
	columns := [][2]string{
		{"name", t.UserName}, {"password", t.Password}, {"allow", t.Allow}, {"salt", t.Salt}, {"superuser", t.Superuser},
	}
	known := make(map[string]bool)
	for _, c := range columns {
		known[c[0]] = true
	}
	for attribute, column := range t.Attributes {
		if known[attribute] {
			return "", "", fmt.Errorf("attribute %q has the name of something else", attribute)
		}
		columns = append(columns, [2]string{attribute, column})
	}
	sort.Slice(columns[5:], func(i, j int) bool { return columns[5+i][0] < columns[5+j][0] })
	if users, err = d.query(columns, t.Users, t.UserName, none); err != nil {
		return "", "", err
	}
	rules, err = d.query([][2]string{
		{"name", t.RuleName},
		{"topic", t.Topic},
		{"access", t.Access},
		{"permission", t.Permission},
		{"action", t.Action},
		{"qos", t.QoS},
		{"retain", t.Retain},
	}, t.Rules, t.RuleName, t.OrderBy)
	return users, rules, err
}

// query selects columns, each by its meaning, from a table.
func (d Dialect) query(columns [][2]string, table, name, order string) (string, error) {
	var fields []string
	for _, c := range columns {
		if c[1] == none {
			continue
		}
		if c[1] == "" || strings.ContainsRune(c[1]+c[0]+table, 0) {
			return "", fmt.Errorf("the column for %q has no name", c[0])
		}
		fields = append(fields, d.Quote(c[1])+" AS "+d.Quote(c[0]))
	}
	if table == none || name == none {
		return "", errors.New("the tables and their columns with names are required")
	}
	parts := strings.Split(table, ".")
	for i, p := range parts {
		parts[i] = d.Quote(p)
	}
	q := fmt.Sprintf("SELECT %s FROM %s WHERE %s = ${name}", strings.Join(fields, ", "), strings.Join(parts, "."), d.Quote(name))
	if order != none {
		q += " ORDER BY " + d.Quote(order)
	}
	return q, nil
}

// bind puts parameters in the place of ${name}, and returns how many there are.
func (d Dialect) bind(query string) (text string, n int, err error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(query, "${")
		_, _ = b.WriteString(before) // never fails, nor does the other
		if !found {
			break
		}
		word, rest, closed := strings.Cut(after, "}")
		if !closed || word != "name" {
			return "", 0, errors.New("a query has ${name} and no other ${…}")
		}
		n++
		_, _ = b.WriteString(d.Placeholder(n))
		query = rest
	}
	if n == 0 {
		return "", 0, errors.New("a query must have ${name}, for whom it asks")
	}
	return b.String(), n, nil
}
