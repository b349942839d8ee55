package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/behaviour"
)

var update = flag.Bool("update", false, "write the last column of the tables")

// specification is one of the two that are held.
type specification struct {
	name   string // of its files
	prefix string // of its statements in behaviour.Case.Clauses
}

var specifications = []specification{{"mqtt-5.0", ""}, {"mqtt-3.1.1", "3.1.1:"}}

// row is one statement.
type row struct {
	id, short string
	tests     []string // that are no cases, as "package.Function"
	cases     []string
	clients   string // why it binds clients only
}

const clientOnly = "client only: "

// read returns the table of a specification, and what stands before it.
func (s specification) read(t *testing.T) (intro string, rows []row) {
	t.Helper()
	b, err := os.ReadFile(s.name + ".md")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !strings.HasPrefix(line, "| MQTT-") {
			require.Empty(t, rows, "%s: a line that is no row: %q", s.name, line)
			intro += line
			continue
		}
		require.GreaterOrEqual(t, len(cells), 2, line)
		require.LessOrEqual(t, len(cells), 3, line)
		r := row{id: cells[0], short: strings.TrimSpace(cells[1])}
		if len(cells) == 3 {
			held := strings.TrimSpace(cells[2])
			if reason, ok := strings.CutPrefix(held, clientOnly); ok {
				r.clients = reason
			} else {
				for name := range strings.SplitSeq(held, "; ") {
					if quoted, err := strconv.Unquote(name); err == nil {
						r.cases = append(r.cases, quoted)
					} else {
						r.tests = append(r.tests, name)
					}
				}
			}
		}
		rows = append(rows, r)
	}
	return intro, rows
}

func (r *row) String() string {
	held := clientOnly + r.clients
	if r.clients == "" {
		var names []string
		for _, c := range r.cases {
			names = append(names, strconv.Quote(c))
		}
		held = strings.Join(append(names, r.tests...), "; ")
	}
	return fmt.Sprintf("| %s | %s | %s |\n", r.id, r.short, held)
}

// ids returns the statements that there are, in the specification's order.
func (s specification) ids(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", s.name+".ids"))
	require.NoError(t, err)
	return strings.Fields(string(b))
}

// TestStatements holds that every statement is in the table, in a few words, with the cases that hold it: those that say so, and no others.
func TestStatements(t *testing.T) {
	require.Len(t, specifications[0].ids(t), 251)
	require.Len(t, specifications[1].ids(t), 117)
	holding := make(map[string][]string)
	for _, c := range behaviour.Cases() {
		for _, clause := range c.Clauses {
			require.NotContains(t, holding[clause], c.Name, "%s is named twice", clause)
			holding[clause] = append(holding[clause], c.Name)
		}
	}
	for _, s := range specifications {
		t.Run(s.name, func(t *testing.T) {
			intro, rows := s.read(t)
			var ids []string
			for i := range rows {
				r := &rows[i]
				ids = append(ids, r.id)
				cases := holding[s.prefix+r.id]
				delete(holding, s.prefix+r.id)
				if *update {
					r.cases = cases
				}
				require.NotEmpty(t, r.short, r.id)
				require.Equal(t, cases, r.cases, "%s: the table is not up to date: go test ./internal/conformance -update", r.id)
				switch held := len(r.cases) + len(r.tests); {
				case r.clients != "":
					require.Zero(t, held, "%s binds clients only, and is held", r.id)
				default:
					require.NotZero(t, held, "%s is held by no test", r.id)
				}
			}
			require.Equal(t, s.ids(t), ids)
			if *update {
				out := bytes.NewBufferString(intro)
				for i := range rows {
					out.WriteString(rows[i].String())
				}
				require.NoError(t, os.WriteFile(s.name+".md", out.Bytes(), 0o644))
			}
		})
	}
	require.Empty(t, holding, "cases name statements that do not exist")
}

// harnesses are the tests that run the table of cases, by directory. That each case ran to its end is held by behaviour.Run.
var harnesses = map[string][]string{
	".":                             {"TestBehaviour", "TestBehaviourTCP", "TestBehaviourWebSocket"},
	"cluster/clustertest/behaviour": {"TestBehaviour"},
	"cluster/clustertest/behaviour/websocket": {"TestBehaviourWebSocket"},
}

// TestCasesRun holds that the table is run on one node and on three, over TCP and over WebSocket, always.
func TestCasesRun(t *testing.T) {
	for dir, names := range harnesses {
		tests := testsIn(t, dir)
		for _, name := range names {
			fn := tests[name]
			require.NotNil(t, fn, "%s has no %s, or not in every build", dir, name)
			require.True(t, calls(fn, "Run", "behaviour"), "%s in %s does not run the table", name, dir)
			for _, skip := range []string{"Skip", "Skipf", "SkipNow", "Short"} {
				require.False(t, calls(fn, skip, ""), "%s in %s may not run", name, dir)
			}
		}
	}
}

// calls reports whether fn calls a function or method of that name, of the package or value of that name if it is given.
func calls(fn *ast.FuncDecl, name, of string) bool {
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == name {
			x, named := sel.X.(*ast.Ident)
			found = found || of == "" || named && x.Name == of
		}
		return true
	})
	return found
}

// testsIn returns the tests of a directory, from files that are part of every build.
func testsIn(t *testing.T, dir string) map[string]*ast.FuncDecl {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*_test.go"))
	require.NoError(t, err)
	tests := make(map[string]*ast.FuncDecl)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		if constrained(f) {
			continue
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				tests[fn.Name.Name] = fn
			}
		}
	}
	return tests
}

func constrained(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if c.Pos() < f.Package && constraint.IsGoBuild(c.Text) {
				return true
			}
		}
	}
	return false
}

// TestNamedTestsRun runs the tests that are named beside the cases, and holds that each of them passes: a test that does not exist, or is
// skipped, does not.
func TestNamedTestsRun(t *testing.T) {
	byPackage := make(map[string][]string)
	for _, s := range specifications {
		_, rows := s.read(t)
		for _, r := range rows {
			for _, name := range r.tests {
				pkg, fn := split(name)
				require.NotEmpty(t, fn, "%s: %q is no test", r.id, name)
				if !slices.Contains(byPackage[pkg], fn) {
					byPackage[pkg] = append(byPackage[pkg], fn)
				}
			}
		}
	}
	for pkg, names := range byPackage {
		dir := "./" + pkg
		if pkg == "shoal" {
			dir = "."
		}
		exist := testsIn(t, dir)
		for _, name := range names {
			require.Contains(t, exist, name, "of package %s", pkg)
		}
		passed := run(t, dir, names)
		for _, name := range names {
			require.Contains(t, passed, name, "of package %s does not pass, or does not run", pkg)
		}
	}
}

// split returns package and function of "package.Function".
func split(name string) (pkg, fn string) {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)], name[i+1:]
}

// run runs tests of a package and returns those that passed.
func run(t *testing.T, dir string, names []string) (passed []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-run", "^("+strings.Join(names, "|")+")$", dir)
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s%s", out, &stderr)
	for d := json.NewDecoder(bufio.NewReader(bytes.NewReader(out))); ; {
		var event struct{ Action, Test string }
		if err := d.Decode(&event); errors.Is(err, io.EOF) {
			return passed
		} else if err != nil {
			require.NoError(t, err)
		}
		if event.Action == "pass" && event.Test != "" {
			passed = append(passed, event.Test)
		}
	}
}
