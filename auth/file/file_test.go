package file_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/auth/file"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/packets"
)

// hash is one that mosquitto_passwd made before 2.0, which is quick.
func hash(_ testing.TB, text string) string {
	digest := sha512.Sum512([]byte(text + "salt"))
	return "$6$" + base64.StdEncoding.EncodeToString([]byte("salt")) + "$" + base64.StdEncoding.EncodeToString(digest[:])
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "users.yml")
	}
	// As an editor does: a new file takes the place of the old one.
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
	return path
}

// logger is a log that is written by other goroutines.
type logger struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logger) slog() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func open(t testing.TB, cfg file.Config) *file.Authenticator {
	t.Helper()
	a, err := file.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func user(name, password string) *shoal.Credentials {
	return &shoal.Credentials{ClientID: "c-" + name, UserName: name, Password: []byte(password)}
}

func request(p *shoal.Principal, action shoal.Action, topic string) *shoal.AccessRequest {
	return &shoal.AccessRequest{ClientID: "c-" + p.Name, Principal: p, Action: action, Topic: topic}
}

func contractFile(t testing.TB) string {
	return write(t, "", fmt.Sprintf(`
rules:
  - {allow: both, topic: a/%%u/#}
  - {deny: both, topic: a/%%u/secret}
groups:
  readers:
    rules: [{allow: subscribe, topics: [news/+]}]
users:
  %s:
    password: %s
    groups: [readers]
    rules: [{allow: publish, topic: up/+}]
  %s: {password: "%s", disabled: true}
  %s: {password: "%s", rules: [{deny: both, topics: ["#", "$SYS/#"]}]}
`, authtest.User, hash(t, authtest.Password), authtest.DisabledUser, hash(t, authtest.DisabledPassword),
		authtest.PlainUser, hash(t, authtest.PlainPassword)))
}

func TestContract(t *testing.T) {
	path := contractFile(t)
	authtest.Run(t, authtest.Suite{Open: func(t *testing.T, _ source.Config) *source.Authenticator {
		a, err := file.New(file.Config{Path: path, NoWatch: true})
		require.NoError(t, err)
		return a.Authenticator
	}})
}

func TestMosquittoContract(t *testing.T) {
	passwords := write(t, "", fmt.Sprintf("# users\n%s:%s\n\n%s:%s\r\n", authtest.User, hash(t, authtest.Password),
		authtest.PlainUser, hash(t, authtest.PlainPassword)))
	rules := write(t, "", `# anonymous
topic read public/#

user ann
topic a/ann/#
topic deny a/ann/secret
topic read news/+
user other
topic write #
user ann
topic write up/+
`)
	authtest.Run(t, authtest.Suite{
		NoDisabled: true,
		Open: func(t *testing.T, _ source.Config) *source.Authenticator {
			a, err := file.New(file.Config{MosquittoPasswords: passwords, MosquittoACL: rules, NoWatch: true})
			require.NoError(t, err)
			return a.Authenticator
		},
	})
}

// TestFilesOfMosquittoPasswd reads what mosquitto_passwd 2.0.11 has made, with the password
// "päss word".
func TestFilesOfMosquittoPasswd(t *testing.T) {
	acl := write(t, "", "topic read public/#\npattern readwrite d/%c/%u/100%\npattern deny no/%u\nuser bob\ntopic my topic\ntopic write a/%u\n")
	a := open(t, file.Config{MosquittoPasswords: "testdata/mosquitto_passwd", MosquittoACL: acl, Anonymous: true})
	bob := authtest.Login(t, a, user("bob", "päss word"))
	ann := authtest.Login(t, a, user("ann", "päss word"))
	none := authtest.Login(t, a, &shoal.Credentials{ClientID: "c-"})
	for _, tt := range []struct {
		p       *shoal.Principal
		topic   string
		publish bool
		read    bool
	}{
		{bob, "my topic", true, true},
		{bob, "a/%u", true, false}, // no pattern
		{bob, "a/bob", false, false},
		{bob, "d/c-bob/bob/100%", true, true},
		{bob, "d/c-ann/bob/100%", false, false},
		{bob, "public/x", false, false}, // which is for anonymous clients
		{ann, "my topic", false, false},
		{ann, "d/c-ann/ann/100%", true, true},
		{none, "public/x", false, true},
		{none, "d/c-//100%", false, false}, // an empty name is put in nowhere
	} {
		err := a.Authorize(t.Context(), request(tt.p, shoal.ActionPublish, tt.topic))
		require.Equal(t, tt.publish, err == nil, "%s publishes %s: %v", tt.p.Name, tt.topic, err)
		err = a.Authorize(t.Context(), request(tt.p, shoal.ActionSubscribe, tt.topic))
		require.Equal(t, tt.read, err == nil, "%s subscribes to %s: %v", tt.p.Name, tt.topic, err)
	}
	// Without an acl_file everything is allowed, and without allow_anonymous nobody lacks a name.
	a = open(t, file.Config{MosquittoPasswords: "testdata/mosquitto_passwd"})
	ann = authtest.Login(t, a, user("ann", "päss word"))
	require.NoError(t, a.Authorize(t.Context(), request(ann, shoal.ActionSubscribe, "$SYS/#")))
	_, err := a.Authenticate(t.Context(), &shoal.Credentials{ClientID: "c-"})
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
}

func TestMosquittoFilesHaveLineNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"ann":           ":1: the line must be user:hash",
		"\n\nann:plain": `:3: user "ann": password: malformed hash`,
		":x":            "user:hash",
		"ann:$7$101$DtH8zykt9noucEzs$OLM0mKW5qPMR6lTnRiemwUHSHD+rJmsiEQ2JmFLe1s66k56/uDXpgr6KLGy/a8JEPa8w+5vu4ckCqe1IWb5vLQ==\nann:$7$101$DtH8zykt9noucEzs$OLM0mKW5qPMR6lTnRiemwUHSHD+rJmsiEQ2JmFLe1s66k56/uDXpgr6KLGy/a8JEPa8w+5vu4ckCqe1IWb5vLQ==": `:2: user "ann" is there twice`,
	} {
		_, err := file.New(file.Config{MosquittoPasswords: write(t, "", text), NoWatch: true})
		require.ErrorContains(t, err, want)
	}
	for text, want := range map[string]string{
		"user":                         ":1: user wants a name",
		"topic read":                   ":1: a topic is missing",
		"# x\nallow all":               `:2: the line begins with "allow"`,
		"topic read a/#/b":             ":1: acl: rule 1",
		"pattern a#\ntopic write b/#c": ":2: acl",
	} {
		_, err := file.New(file.Config{
			MosquittoPasswords: "testdata/mosquitto_passwd", MosquittoACL: write(t, "", text), NoWatch: true,
		})
		require.ErrorContains(t, err, want)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	h := hash(t, "x")
	for text, want := range map[string]string{
		"users:\n  ann:\n    passwrd: x\n":                             "3:5: users.ann.passwrd: unknown key; there are attributes, disabled",
		"users:\n  ann: {password: lovelace}":                          "2:19: users.ann.password: password: malformed hash",
		"users:\n  ann: {}":                                            "2:3: users.ann.password: is missing",
		"users:\n  ann: {password: '" + h + "', groups: [x]}":          `2:3: users.ann.groups: there is no group "x"`,
		"users:\n  ann: {password: '" + h + "'}\n  ann: {password: x}": "3:3: users.ann: is there twice",
		"rules:\n- {allow: write, topic: a}":                           `2:3: rules[0]: allow is "write"`,
		"rules:\n- {allow: both, topic: a/#/b}":                        `2:3: rules[0]: topic "a/#/b"`,
		"rules:\n- {allow: both, deny: both, topic: a}":                "exactly one",
		"rules:\n- {allow: both, topic: a, qos: [x]}":                  `2:33: rules[0].qos[0]: must be a number, not "x"`,
		"rules:\n- {allow: both, topic: a, qos: [3]}":                  "qos has 3",
		"rules:\n- {allow: both, topic: a, retain: maybe}":             "must be true or false",
		"rules:\n- {allow: both, topics: [a, 'b/%x']}":                 `topic "b/%x"`,
		"rules: {}":     "1:8: rules: must be a list, not a mapping",
		"users: []":     "1:8: users: must be a mapping (key: value), not a list",
		"order: random": "1:8: order: acl: unknown order",
		"anonymous: 1":  "1:12: anonymous: must be true or false",
		"just a text":   "1:1: the document: must be a mapping",
		"users:\n  a: &x {password: '" + h + "'}\n  b: *x":            "an alias (*name); write it out",
		"users:\n  '': {password: '" + h + "'}":                       "must have a name",
		"users: {ann: {password: '" + h + "', attributes: {a: [b]}}}": "users.ann.attributes.a: must be a text, not a list",
		"a: b: c": "yaml: mapping values are not allowed",
		"users:\n  ann: {disabled: 7}\n  bob: {password: x, colour: red}": "4 errors",
	} {
		path := write(t, "", text)
		_, err := file.New(file.Config{Path: path, NoWatch: true})
		require.Error(t, err, text)
		if want == "4 errors" {
			require.Len(t, strings.Split(err.Error(), "\n"), 4, "all are told: %v", err)
			continue
		}
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
		require.NotContains(t, err.Error(), "lovelace")
	}
	_, err := file.New(file.Config{})
	require.ErrorContains(t, err, "Config.Path")
	_, err = file.New(file.Config{Path: "x", Anonymous: true})
	require.ErrorContains(t, err, "Anonymous")
	_, err = file.New(file.Config{Path: filepath.Join(t.TempDir(), "none.yml")})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAnonymousAndSuperuser(t *testing.T) {
	a := open(t, file.Config{Path: write(t, "", `
anonymous: true
anonymous-rules: [{allow: subscribe, topic: public/#}]
rules: [{allow: publish, topic: 'own/%u'}]
users:
  root: {password: '`+hash(t, "x")+`', superuser: true}
  ann: {password: '`+hash(t, "x")+`', attributes: {tenant: 12}, rules: [{allow: both, topic: '%{tenant}/#'}]}
`)})
	none := authtest.Login(t, a, &shoal.Credentials{ClientID: "c-"})
	require.NoError(t, a.Authorize(t.Context(), request(none, shoal.ActionSubscribe, "public/x")))
	require.Error(t, a.Authorize(t.Context(), request(none, shoal.ActionPublish, "public/x")))
	require.Error(t, a.Authorize(t.Context(), request(none, shoal.ActionPublish, "own/")))
	root := authtest.Login(t, a, user("root", "x"))
	require.NoError(t, a.Authorize(t.Context(), request(root, shoal.ActionSubscribe, "#")))
	ann := authtest.Login(t, a, user("ann", "x"))
	require.NoError(t, a.Authorize(t.Context(), request(ann, shoal.ActionSubscribe, "12/#")))
	require.NoError(t, a.Authorize(t.Context(), request(ann, shoal.ActionPublish, "own/ann")))
	require.Error(t, a.Authorize(t.Context(), request(ann, shoal.ActionPublish, "public/x")))
	require.Equal(t, "12", source.UserOf(ann).Attributes["tenant"])
}

// TestChangesTakeEffect holds that a changed file is read by itself, and that one with an error
// leaves the old in force and says so.
func TestChangesTakeEffect(t *testing.T) {
	var log logger
	of := func(name string) string { return "users:\n  " + name + ": {password: '" + hash(t, "x") + "'}\n" }
	path := write(t, "", of("ann"))
	a := open(t, file.Config{Path: path, Logger: log.slog()})
	heard := make(chan struct{}, 100)
	a.OnInvalidate(func() { heard <- struct{}{} })
	knows := func(name string) bool {
		_, err := a.Authenticate(t.Context(), user(name, "x"))
		return err == nil
	}
	eventually := func(what string, fn func() bool) {
		t.Helper()
		require.Eventually(t, fn, 30*time.Second, 10*time.Millisecond, what)
	}
	require.True(t, knows("ann"))
	write(t, path, of("bob"))
	eventually("bob is known", func() bool { return knows("bob") })
	require.False(t, knows("ann"))
	eventually("OnInvalidate", func() bool { return len(heard) == 1 })

	write(t, path, "users: {eve: {password: plain}}")
	eventually("the error is logged", func() bool { return strings.Contains(log.String(), "stays in force") })
	require.True(t, knows("bob"))
	require.NoError(t, a.Reload(), "the error has been told")
	require.True(t, knows("bob"))

	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, a.Reload(), os.ErrNotExist)
	require.True(t, knows("bob"))

	require.NoError(t, os.WriteFile(path, []byte(of("cat")), 0o600)) // in place
	eventually("cat is known", func() bool { return knows("cat") })
	require.Len(t, heard, 2)
}

// TestChangeByLink holds that files are followed as Kubernetes replaces them: by a link to a
// directory.
func TestChangeByLink(t *testing.T) {
	dir := t.TempDir()
	for version, name := range map[string]string{"v1": "ann", "v2": "bob"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		write(t, filepath.Join(dir, version, "users.yml"), "users:\n  "+name+": {password: '"+hash(t, "x")+"'}\n")
	}
	require.NoError(t, os.Symlink("v1", filepath.Join(dir, "data")))
	path := filepath.Join(dir, "users.yml")
	require.NoError(t, os.Symlink("data/users.yml", path))
	a := open(t, file.Config{Path: path})
	authtest.Login(t, a, user("ann", "x"))
	require.NoError(t, os.Symlink("v2", filepath.Join(dir, "data.new")))
	require.NoError(t, os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")))
	require.Eventually(t, func() bool {
		_, err := a.Authenticate(t.Context(), user("bob", "x"))
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
}

func FuzzUsers(f *testing.F) {
	f.Add([]byte(contractText))
	f.Add([]byte("users: {ann: {password: x}}\nrules:\n- {allow: both, topics: [a, b], qos: [1], retain: true}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := file.ParseUsers(data); err != nil && !strings.Contains(err.Error(), "fuzz") {
			t.Fatal("an error that does not name the file", err)
		}
	})
}

const contractText = `
order: as-written
anonymous: true
anonymous-rules: []
rules: [{allow: both, topic: 'a/%u/#'}]
groups: {g: {rules: [{deny: publish, topic: b, qos: [0, 1]}]}}
users:
  ann: {password: $6$p6WvZepKNnccRDAb$D6VImsQxXqlw0Pwa/5qsYL4GKu6YfdBoWUFZ9C76QVsHNR5L+thq7aCVXmRiIbQNGF+w++0kLO0QxSTB8bjRzw==, groups: [g]}
`

func FuzzMosquitto(f *testing.F) {
	f.Add([]byte("ann:$7$101$AA==$AA=="), []byte("topic read public/#\npattern readwrite d/%c/%u/100%\nuser bob\ntopic my topic\n"))
	f.Fuzz(func(t *testing.T, passwords, rules []byte) {
		_ = file.ParseMosquitto(passwords, rules)
	})
}

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "users.yml")
	hashed, err := password.Make(password.Argon2id, []byte("lovelace"))
	if err != nil {
		fmt.Println(err)
		return
	}
	text := "rules:\n- {allow: both, topic: home/%u/#}\nusers:\n  ann:\n    password: " + hashed + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	a, err := file.New(file.Config{Path: path})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = a.Close() }()
	b, err := shoal.New(shoal.WithAuthenticator(a), shoal.WithListen("tcp://127.0.0.1:0"))
	if err != nil {
		fmt.Println(err)
		return
	}
	a.OnInvalidate(b.InvalidateAuthorization) // changed rules take effect at once
	fmt.Println("ready")
	// Output: ready
}
