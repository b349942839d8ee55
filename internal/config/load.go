package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Program is who asks.
type Program struct {
	Name    string
	Cluster bool   // keys and flags of a cluster, else those of a single broker
	Usage   string // above the flags in -h
}

func (p Program) has(only string) bool {
	return only == "" || only == map[bool]string{true: "cluster", false: "single"}[p.Cluster]
}

// Loaded is a Config, with where it comes from.
type Loaded struct {
	Config
	Program Program
	// File is that of -conf, "" for none.
	File string
	// Command is what the program does in place of serving, if it is not ServeCommand.
	Command Command
	// Dead are the keys that have no effect, and Notes is what else is to be said once at start.
	Dead  []DeadKey
	Notes []string

	origins map[string]string
}

// Command is what a program does.
type Command int

// The commands.
const (
	ServeCommand Command = iota
	CheckCommand
	PrintCommand
	VersionCommand
	HashCommand
)

// UsageError is an error of the command line, the environment or the file: something that the user wrote.
type UsageError struct{ Err error }

// Error implements error.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// Load reads what a program is told. environ is as os.Environ has it. With -h it writes the help to out and returns flag.ErrHelp; other
// errors that the user can correct are UsageErrors.
func Load(p Program, args, environ []string, out io.Writer) (*Loaded, error) {
	l := &Loaded{Program: p, origins: make(map[string]string)}
	setDefaults(reflect.ValueOf(&l.Config).Elem())
	given, err := l.parseFlags(args, out)
	if err != nil {
		return nil, err
	}
	env := environment(environ)
	if l.File == "" {
		l.File = env["SHOAL_CONF"]
	}
	if err := l.readFile(env); err != nil {
		return nil, &UsageError{err}
	}
	if err := l.readEnvironment(env); err != nil {
		return nil, &UsageError{err}
	}
	if err := l.applyFlags(given); err != nil {
		return nil, &UsageError{err}
	}
	if err := errors.Join(l.findPaths(), l.readSecrets()); err != nil {
		return nil, &UsageError{err}
	}
	if err := l.validate(); err != nil {
		return nil, &UsageError{err}
	}
	return l, nil
}

func environment(environ []string) map[string]string {
	env := make(map[string]string)
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	return env
}

func (l *Loaded) readFile(env map[string]string) error {
	if l.File == "" {
		return nil
	}
	dead := maps.Clone(deadKeys)
	if !l.Program.Cluster { // a file may serve both programs
		dead["cluster"] = "this program is a broker by itself"
	}
	d := &decoder{dead: dead, origins: l.origins, env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	err := d.decodeFile(l.File, &l.Config)
	l.Dead = append(l.Dead, d.notes...)
	if err != nil {
		return fmt.Errorf("-conf: %w", err)
	}
	return nil
}

// variable is the environment variable of a key.
func variable(path string) string {
	return "SHOAL_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(path))
}

func (l *Loaded) readEnvironment(env map[string]string) error {
	known := map[string]bool{"SHOAL_CONF": true}
	var errs []error
	for _, leaf := range leaves(&l.Config) {
		name := variable(leaf.path)
		known[name] = true
		value, ok := env[name]
		if !ok || !l.Program.has(leaf.only) {
			continue
		}
		if err := setText(leaf.value, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
		l.origins[leaf.path] = name
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(name, "SHOAL_") && !strings.HasPrefix(name, "SHOAL_TEST_") && name != "SHOAL_REQUIRE_SERVERS" && !known[name] {
			message := fmt.Sprintf("environment variable %s belongs to no key", name)
			if best := nearest(name, slices.Collect(maps.Keys(known))); best != "" {
				message += "; did you mean " + best + "?"
			}
			l.Notes = append(l.Notes, message)
		}
	}
	return errors.Join(errs...)
}

// Given reports whether a key has been given, and is not the default.
func (l *Loaded) Given(path string) bool { return l.origins[path] != "" }

// GivenBy names what gave a key, the flag if nothing did: for messages.
func (l *Loaded) GivenBy(path string) string {
	for _, leaf := range leaves(&l.Config) {
		if leaf.path != path {
			continue
		}
		origin := l.origins[path]
		switch {
		case strings.HasPrefix(origin, "-"), strings.HasPrefix(origin, "SHOAL_"):
			return origin
		case origin != "":
			return path + " in " + origin
		case leaf.flag != "":
			return "-" + leaf.flag
		}
	}
	return path
}

// flagValue takes the text of a flag, and leaves it to be read when it is its turn.
type flagValue struct {
	given  map[string]string
	name   string
	isBool bool
}

func (f flagValue) String() string   { return "" }
func (f flagValue) IsBoolFlag() bool { return f.isBool }
func (f flagValue) Set(s string) error {
	f.given[f.name] = s
	return nil
}

// parseFlags returns the texts of the flags of keys. It sets what is no key.
func (l *Loaded) parseFlags(args []string, out io.Writer) (map[string]string, error) {
	given := make(map[string]string)
	fs := flag.NewFlagSet(l.Program.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.StringVar(&l.File, "conf", "", "")
	commands := map[string]Command{"check": CheckCommand, "print-config": PrintCommand, "version": VersionCommand, "hash-password": HashCommand}
	for name, command := range commands {
		fs.BoolFunc(name, "", func(string) error { l.Command = command; return nil })
	}
	names := []string{"conf", "check", "print-config", "version", "hash-password"}
	for _, leaf := range leaves(&l.Config) {
		if leaf.flag == "" || !l.Program.has(leaf.only) {
			continue
		}
		fs.Var(flagValue{given, leaf.flag, leaf.value.Kind() == reflect.Bool}, leaf.flag, "")
		names = append(names, leaf.flag)
	}
	for name := range deadFlags {
		fs.Var(flagValue{given, name, false}, name, "")
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(out, l.help()) // nobody to tell
		return nil, err
	case err != nil:
		return nil, flagError(err, names)
	case fs.NArg() > 0:
		return nil, usagef("unexpected argument %q: there are only flags, such as -data-dir; a flag that is true or false takes its value behind =, as in -grpc-enable=true", fs.Arg(0))
	}
	return given, nil
}

func flagError(err error, names []string) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		if best := nearest(name, names); best != "" {
			return usagef("there is no flag -%s; did you mean -%s?", name, best)
		}
		return usagef("there is no flag -%s", name)
	}
	return &UsageError{err}
}

func (l *Loaded) applyFlags(given map[string]string) error {
	var errs []error
	for _, leaf := range leaves(&l.Config) {
		value, ok := given[leaf.flag]
		if !ok || leaf.flag == "" {
			continue
		}
		if err := setText(leaf.value, value); err != nil {
			errs = append(errs, fmt.Errorf("-%s: %w", leaf.flag, err))
		}
		l.origins[leaf.path] = "-" + leaf.flag
	}
	for name, reason := range deadFlags {
		if _, ok := given[name]; ok {
			l.Dead = append(l.Dead, DeadKey{"-" + name, "the command line", reason})
		}
	}
	return errors.Join(errs...)
}

// readSecrets puts the content of files in the place of the secrets they hold.
func (l *Loaded) readSecrets() error {
	var errs []error
	for _, s := range []struct {
		file string
		to   *string
		path string
	}{
		{l.Redis.Options.PasswordFile, &l.Redis.Options.Password, "redis.options.password-file"},
		{l.MQTT.Info.TokenFile, &l.MQTT.Info.Token, "mqtt.info.token-file"},
		{l.DashboardCfg.SecretFile, &l.MQTT.Info.Token, "dashboard.secret-file"},
	} {
		if s.file == "" {
			continue
		}
		content, err := os.ReadFile(s.file)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.path, err))
		}
		*s.to = strings.TrimRight(string(content), "\r\n")
		if err == nil && *s.to == "" {
			errs = append(errs, fmt.Errorf("%s: %s is empty", s.path, s.file))
		}
	}
	return errors.Join(errs...)
}
