package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type object = map[string]any

// render renders the chart as Helm does, with the functions that its templates use.
func render(t *testing.T, values object) string {
	t.Helper()
	defaults, err := os.ReadFile("helm/shoal/values.yaml")
	require.NoError(t, err)
	all := make(object)
	require.NoError(t, yaml.Unmarshal(defaults, &all))
	merge(all, values)
	root := template.New("chart").Option("missingkey=error")
	root.Funcs(functions(root))
	paths, err := filepath.Glob("helm/shoal/templates/*")
	require.NoError(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		_, err = root.New(path).Parse(string(text))
		require.NoError(t, err)
	}
	var out bytes.Buffer
	for _, path := range paths {
		if strings.HasSuffix(path, ".yaml") {
			out.WriteString("\n---\n")
			require.NoError(t, root.ExecuteTemplate(&out, path, object{
				"Values": all, "Release": object{"Name": "test"}, "Chart": object{"AppVersion": "latest"},
			}), path)
		}
	}
	return out.String()
}

func functions(root *template.Template) template.FuncMap {
	toYAML := func(v any) (string, error) {
		b, err := yaml.Marshal(v)
		return strings.TrimSuffix(string(b), "\n"), err
	}
	indent := func(n int, s string) string {
		return strings.Repeat(" ", n) + strings.ReplaceAll(s, "\n", "\n"+strings.Repeat(" ", n))
	}
	return template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var b bytes.Buffer
			err := root.ExecuteTemplate(&b, name, data)
			return b.String(), err
		},
		"toYaml":         toYAML,
		"fromYaml":       func(s string) (v object, err error) { return v, yaml.Unmarshal([]byte(s), &v) },
		"indent":         indent,
		"nindent":        func(n int, s string) string { return "\n" + indent(n, s) },
		"mergeOverwrite": func(a, b object) object { merge(a, b); return a },
		"default": func(d, v any) any {
			if v == nil || v == "" {
				return d
			}
			return v
		},
		"required": func(message string, v any) (any, error) {
			if v == nil || v == "" {
				return nil, errors.New(message)
			}
			return v, nil
		},
		"quote":      func(v any) string { return fmt.Sprintf("%q", v) },
		"trunc":      func(n int, s string) string { return s[:min(n, len(s))] },
		"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
	}
}

func merge(into, from object) {
	for k, v := range from {
		a, aok := into[k].(object)
		b, bok := v.(object)
		if aok && bok {
			merge(a, b)
			continue
		}
		into[k] = v
	}
}

// documents reads a file of several.
func documents(t *testing.T, text string) (all []object) {
	t.Helper()
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o object
		if d.Decode(&o) != nil {
			break
		}
		if o != nil {
			all = append(all, o)
		}
	}
	require.NotEmpty(t, all)
	return all
}

// at finds a value by the keys, and the numbers in lists, on the way to it.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for i, p := range path {
		switch key := p.(type) {
		case string:
			o, ok := v.(object)
			require.True(t, ok, "%v has no %v", path[:i], p)
			v = o[key]
		case int:
			l, ok := v.([]any)
			require.True(t, ok && key < len(l), "%v has no %v", path[:i], p)
			v = l[key]
		}
		require.NotNil(t, v, "%v", path[:i+1])
	}
	return v
}
