package shoal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Imports run one way only. The rows of the table, and what the packages of each may import besides the standard library:
//
//	packets, topics                          nothing
//	internal/…                               packets, topics, internal/…, one small library; never the root
//	root                                     packets, topics, internal/…; no library but what internal/… brings along
//	storage, auth, bridge, cluster, admin,
//	listen                                   root, packets, topics, internal/…, packages of their own, their vendor's libraries; auth itself no library;
//	                                         auth/… also what authenticators are made of: auth/acl, auth/password, auth/source, auth/sqlsource;
//	                                         bridge/… also what all bridges write: bridge/document
//	…test, internal/behaviour, realclients   anything; only tests and packages of this row import them
//	examples                                 anything; nothing imports them

const module = "github.com/shoalmq/shoal"

// rootLibraries are what a program links that imports the root alone.
var rootLibraries = []string{"github.com/coder/websocket"}

// listed is a package as go list describes it.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

func (p *listed) own() bool { return p.Module != nil && p.Module.Path == module }

// name is the path within the module, "" for the root.
func (p *listed) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

type row string

const (
	rowVocabulary row = "packets, topics"
	rowInternal   row = "internal"
	rowRoot       row = "root"
	rowDriver     row = "drivers and cluster"
	rowTest       row = "tests"
	rowExamples   row = "examples"
	rowUnknown    row = "none"
)

func rowOf(name string) row {
	parts := strings.Split(name, "/")
	if slices.ContainsFunc(parts, func(p string) bool { return strings.HasSuffix(p, "test") }) && parts[0] != "examples" {
		return rowTest
	}
	switch parts[0] {
	case "":
		return rowRoot
	case "packets", "topics":
		return rowVocabulary
	case "storage", "auth", "bridge", "cluster", "admin", "listen":
		return rowDriver
	case "realclients":
		return rowTest
	case "examples":
		return rowExamples
	case "internal":
		if name == "internal/behaviour" {
			return rowTest
		}
		return rowInternal
	}
	return rowUnknown
}

// allowedRows are the rows of this module that the packages of a row may import.
var allowedRows = map[row][]row{
	rowVocabulary: {},
	rowInternal:   {rowVocabulary, rowInternal},
	rowRoot:       {rowVocabulary, rowInternal},
	rowDriver:     {rowVocabulary, rowInternal, rowRoot, rowDriver},
	rowTest:       {rowVocabulary, rowInternal, rowRoot, rowDriver, rowTest},
	rowExamples:   {rowVocabulary, rowInternal, rowRoot, rowDriver, rowTest, rowExamples},
}

// driverOf is the driver that a package of rowDriver is part of: the cluster is one, each storage is one.
func driverOf(name string) string {
	parts := strings.Split(name, "/")
	if parts[0] == "cluster" || parts[0] == "admin" || len(parts) == 1 {
		return parts[0]
	}
	return parts[0] + "/" + parts[1]
}

// parts of authenticators and of bridges, which all of them share.
var parts = []string{"auth/acl", "auth/password", "auth/source", "auth/sqlsource", "bridge/document"}

// kindOf is what a driver is for: auth, bridge, …
func kindOf(name string) string {
	kind, _, _ := strings.Cut(name, "/")
	return kind
}

// mayImportDriver reports whether a package of rowDriver may import another one.
func mayImportDriver(name, other string) bool {
	return driverOf(name) == driverOf(other) || slices.Contains(parts, other) && kindOf(name) == kindOf(other)
}

// violations says what is wrong with the imports of the module's packages.
func violations(packages map[string]*listed) (wrong []string) {
	for _, p := range packages {
		if !p.own() {
			continue
		}
		r := rowOf(p.name())
		if r == rowUnknown {
			wrong = append(wrong, p.ImportPath+" is in no row of the table")
			continue
		}
		libraries := make(map[string]bool)
		for _, path := range p.Imports {
			q := packages[path]
			switch {
			case q == nil || q.Standard:
			case !q.own():
				libraries[q.Module.Path] = true
			case !slices.Contains(allowedRows[r], rowOf(q.name())):
				wrong = append(wrong, fmt.Sprintf("%s (%s) imports %s (%s)", p.ImportPath, r, path, rowOf(q.name())))
			case r == rowDriver && rowOf(q.name()) == rowDriver && !mayImportDriver(p.name(), q.name()):
				wrong = append(wrong, fmt.Sprintf("%s imports another driver, %s", p.ImportPath, path))
			}
		}
		most := map[row]int{rowVocabulary: 0, rowRoot: 0, rowInternal: 1}
		if n, bounded := most[r]; bounded && len(libraries) > n {
			wrong = append(wrong, fmt.Sprintf("%s (%s) imports the libraries %v; at most %d", p.ImportPath, r, libraries, n))
		}
		if p.name() == "auth" && len(libraries) > 0 {
			wrong = append(wrong, fmt.Sprintf("auth imports the libraries %v; who combines authenticators links none", libraries))
		}
		if r == rowRoot {
			wrong = append(wrong, rootViolations(p, packages)...)
		}
	}
	slices.Sort(wrong)
	return wrong
}

// rootViolations says which libraries a program links, against the rules, because it imports the root.
func rootViolations(root *listed, packages map[string]*listed) (wrong []string) {
	for _, path := range root.Deps {
		q := packages[path]
		if q == nil || q.Standard || q.own() || slices.Contains(rootLibraries, q.Module.Path) {
			continue
		}
		wrong = append(wrong, "the root links "+path)
	}
	return wrong
}

func listPackages(t *testing.T) map[string]*listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,Module", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	packages := make(map[string]*listed)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listed)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			require.NoError(t, err)
		}
		packages[p.ImportPath] = p
	}
}

func TestImportTable(t *testing.T) {
	packages := listPackages(t)
	require.Contains(t, packages, module)
	require.Contains(t, packages, module+"/cluster")
	require.Contains(t, packages, module+"/auth/scram")
	require.Empty(t, violations(packages))
	for _, path := range packages[module].Deps {
		for _, heavy := range []string{"raft", "grpc", "memberlist", "bbolt", "protobuf", "stringprep"} {
			require.NotContains(t, path, heavy, "an embedder of the root alone links it")
		}
	}
}

// The table above is able to see what is wrong.
func TestImportTableSeesViolations(t *testing.T) {
	type imports map[string][]string // in the module, or, with a dot in front, a library
	for _, tc := range []struct {
		name    string
		imports imports
		wrong   int
	}{
		{"all is well", imports{
			"": {"packets", "internal/listen"}, "packets": nil, "internal/listen": {".github.com/coder/websocket"}, "cluster": {"", "cluster/internal/x"},
			"cluster/internal/x": {".raft", ".grpc"}, "cluster/clustertest": {"cluster"}, "examples/a": {"cluster", "examples/b"}, "examples/b": nil,
		}, 0},
		{"packets imports a library", imports{"packets": {".x"}}, 1},
		{"topics imports internal", imports{"topics": {"internal/x"}, "internal/x": nil}, 1},
		{"internal imports the root", imports{"internal/x": {""}, "": nil}, 1},
		{"internal imports two libraries", imports{"internal/x": {".a", ".b"}}, 1},
		{"the root imports a driver", imports{"": {"storage/bolt"}, "storage/bolt": nil}, 1},
		{"the root imports a library", imports{"": {".raft"}}, 2},
		{"the root links a library", imports{"": {"internal/x"}, "internal/x": {".raft"}}, 1},
		{"a driver imports another", imports{"storage/bolt": {"storage/redis"}, "storage/redis": nil}, 1},
		{"a driver imports a test package", imports{"storage/bolt": {"storage/storagetest"}, "storage/storagetest": nil}, 1},
		{"an authenticator imports another", imports{"auth/file": {"auth/scram"}, "auth/scram": {".stringprep"}}, 1},
		{"authenticators share their parts", imports{
			"auth/file": {"auth/source"}, "auth/source": {"auth/acl", "auth/password"}, "auth/acl": nil, "auth/password": {".crypto"},
		}, 0},
		{"bridges share their documents", imports{"bridge/kafka": {"bridge/document"}, "bridge/document": nil}, 0},
		{"a bridge imports a part of authenticators", imports{"bridge/kafka": {"auth/acl"}, "auth/acl": nil}, 1},
		{"a storage imports a part of authenticators", imports{"storage/redis": {"auth/acl"}, "auth/acl": nil}, 1},
		{"authenticators are combined without libraries", imports{"auth": {".x"}}, 1},
		{"an authenticator imports a storage", imports{"auth/redis": {"storage/redis"}, "storage/redis": nil}, 1},
		{"the cluster imports an example", imports{"cluster": {"examples/a"}, "examples/a": nil}, 1},
		{"a package of no row", imports{"util": nil}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Len(t, violations(madeUp(tc.imports)), tc.wrong)
		})
	}
}

// madeUp returns packages with these imports, and their Deps.
func madeUp(imports map[string][]string) map[string]*listed {
	packages := make(map[string]*listed)
	path := func(name string) string {
		if library, ok := strings.CutPrefix(name, "."); ok {
			return library
		}
		return strings.TrimSuffix(module+"/"+name, "/")
	}
	add := func(name, of string) *listed {
		p := packages[path(name)]
		if p == nil {
			p = &listed{ImportPath: path(name), Module: &struct{ Path string }{of}}
			packages[p.ImportPath] = p
		}
		return p
	}
	for name, list := range imports {
		p := add(name, module)
		for _, other := range list {
			p.Imports = append(p.Imports, path(other))
			if strings.HasPrefix(other, ".") {
				add(other, path(other))
			}
		}
	}
	var deps func(p *listed) []string
	deps = func(p *listed) (all []string) {
		for _, other := range p.Imports {
			all = append(all, other)
			if q := packages[other]; q != nil {
				all = append(all, deps(q)...)
			}
		}
		return all
	}
	for _, p := range packages {
		p.Deps = deps(p)
	}
	return packages
}
