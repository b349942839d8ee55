package config

import (
	"fmt"
	"reflect"
	"strings"
)

const helpWidth = 100

// help is what -h writes.
func (l *Loaded) help() string {
	var b strings.Builder
	b.WriteString(l.Program.Usage)
	b.WriteString("\nWhat to do:\n")
	for _, f := range [][2]string{
		{"conf FILE", "read a YAML file; flags that are given win over it. An older file of comqtt is one, too"},
		{"check", "check flags, environment, file, and the files that are named in it, and exit"},
		{"print-config", "show all that is in force, and where it comes from, and exit"},
		{"version", "show the version, and exit"},
		{"hash-password", "read a password from standard input, write its hash for files of users, and exit"},
	} {
		writeFlag(&b, f[0], f[1])
	}
	defaults := Config{}
	setDefaults(reflect.ValueOf(&defaults).Elem())
	for _, group := range groups {
		section := ""
		for _, leaf := range leaves(&defaults) {
			if leaf.flag == "" || !l.Program.has(leaf.only) || groupOf(leaf.path) != group.prefix {
				continue
			}
			doc := leaf.doc
			if leaf.def != "" && leaf.def != "false" {
				doc += " (default " + leaf.def + ")"
			}
			name := leaf.flag
			if leaf.value.Kind() != reflect.Bool {
				name += " " + placeholder(leaf)
			}
			if section == "" {
				section = group.title
				b.WriteString("\n" + section + ":\n")
			}
			writeFlag(&b, name, doc)
		}
	}
	b.WriteString("\nEvery key of the file is an environment variable, too: mqtt.tcp is SHOAL_MQTT_TCP. A flag wins\n" +
		"over the environment, that over the file, and that over the default.\n\n" +
		"Exit status: 0 stopped, or checked without fault; 1 failed; 2 wrong flags, environment or file;\n" +
		"130 stopped at once by a second signal.\n")
	return b.String()
}

var groups = []struct{ prefix, title string }{
	{"mqtt", "Clients"}, {"auth", "Who may connect"}, {"cluster", "The cluster"}, {"", "Storage and stopping"}, {"redis", "Redis, with -storage-way 3"}, {"log", "The log"},
}

func groupOf(path string) string {
	section, _, nested := strings.Cut(path, ".")
	if !nested {
		return ""
	}
	return section
}

func placeholder(l leaf) string {
	switch {
	case l.is == "dir" || l.is == "path":
		return "PATH"
	case strings.Contains(l.doc, "address"):
		return "ADDRESS"
	case l.value.Kind() == reflect.Int:
		return "N"
	case strings.Contains(l.doc, "how long"):
		return "TIME"
	}
	return "VALUE"
}

func writeFlag(b *strings.Builder, name, doc string) {
	fmt.Fprintf(b, "  -%s\n", name)
	const indent = "        "
	line := indent
	for word := range strings.FieldsSeq(doc) {
		if len(line)+1+len(word) > helpWidth {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}
