package shoal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The embedding example of the README is Example, word for word, so it compiles and does what it says.
func TestReadmeExample(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(source), "// README: from here\n")
	require.True(t, found)
	code, _, found := strings.Cut(after, "\t// README: to here")
	require.True(t, found)
	code = strings.ReplaceAll("\n"+code, "\n\t", "\n")

	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```go"+code+"```")
}

// The program of the README is examples/node, word for word.
func TestReadmeProgram(t *testing.T) {
	source, err := os.ReadFile("examples/node/main.go")
	require.NoError(t, err)
	_, code, found := strings.Cut(string(source), "\npackage main\n")
	require.True(t, found)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```go\npackage main\n"+code+"```")
}

// Every file that the README and the pages in docs link to exists.
func TestDocsLinkToFiles(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	link := regexp.MustCompile(`\]\(([^)#]+)\)`)
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "://") {
				require.FileExists(t, filepath.Join(filepath.Dir(page), m[1]), page)
			}
		}
	}
}

// testReference is how the guarantees' page names a test: `folder.TestName`.
var testReference = regexp.MustCompile("`([a-z/]+)\\.(Test\\w+)`")

// Every test that the page on the guarantees names exists.
func TestGuaranteesNameTests(t *testing.T) {
	page, err := os.ReadFile("docs/guarantees.md")
	require.NoError(t, err)
	references := testReference.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(references), 50)
	for _, ref := range references {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(ref[1]), "*_test.go"))
		require.NoError(t, err)
		found := false
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			found = found || strings.Contains(string(source), "\nfunc "+ref[2]+"(")
		}
		require.True(t, found, "%s has no %s", ref[1], ref[2])
	}
}

// Every file that the package's documentation names exists.
func TestDocNamesFiles(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	named := regexp.MustCompile(`\b[a-z]+\.go\b`).FindAllString(string(doc), -1)
	require.NotEmpty(t, named)
	for _, file := range named {
		require.FileExists(t, file)
	}
}
