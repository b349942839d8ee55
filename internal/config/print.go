package config

import (
	"fmt"
	"io"
	"net/url"
	"reflect"
)

// Print writes all that is in force, with where it comes from. Secrets are masked.
func (l *Loaded) Print(w io.Writer) error {
	all := leaves(&l.Config)
	for i := range l.Listeners {
		all = append(all, leavesOf(reflect.ValueOf(&l.Listeners[i]).Elem(), fmt.Sprintf("listeners[%d]", i), "")...)
	}
	for _, leaf := range all {
		if !l.Program.has(leaf.only) {
			continue
		}
		value := text(leaf.value)
		if leaf.is == "secret" {
			value = mask(value)
		}
		origin := l.origins[leaf.path]
		if origin == "" {
			origin = "default"
		}
		if _, err := fmt.Fprintf(w, "%-58s %-28q # %s\n", leaf.path, value, origin); err != nil {
			return err
		}
	}
	return nil
}

const masked = "(secret)"

// mask hides a secret; of a URL only the password is one.
func mask(value string) string {
	if value == "" {
		return ""
	}
	if u, err := url.Parse(value); err == nil && u.Scheme != "" && u.Host != "" {
		return u.Redacted()
	}
	return masked
}

// Changed are the keys that have another value in b than in a.
func Changed(a, b *Loaded) (paths []string) {
	x, y := leaves(&a.Config), leaves(&b.Config)
	for i := range x {
		if text(x[i].value) != text(y[i].value) {
			paths = append(paths, x[i].path)
		}
	}
	if !reflect.DeepEqual(a.Listeners, b.Listeners) {
		paths = append(paths, "listeners")
	}
	return paths
}
