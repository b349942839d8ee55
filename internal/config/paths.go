package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
)

// findPaths finds the files that the configuration names. A relative one of a file is looked for in the working directory first, then beside the
// file, then above: comqtt's files say ./config/x.yml beside that directory.
func (l *Loaded) findPaths() error {
	var errs []error
	find := func(all []leaf) {
		for _, leaf := range all {
			if leaf.is != "path" && leaf.is != "optional-path" || leaf.value.String() == "" || l.unused(leaf.path) {
				continue
			}
			found, err := l.find(leaf.value.String())
			switch {
			case err == nil:
				leaf.value.SetString(found)
			case leaf.is == "optional-path":
				leaf.value.SetString("")
				l.Notes = append(l.Notes, fmt.Sprintf("%s: %v; going on without", l.GivenBy(leaf.path), err))
			default:
				errs = append(errs, fmt.Errorf("%s: %w", l.GivenBy(leaf.path), err))
			}
		}
	}
	find(leaves(&l.Config))
	for i := range l.Listeners {
		find(leavesOf(reflect.ValueOf(&l.Listeners[i]).Elem(), fmt.Sprintf("listeners[%d]", i), ""))
	}
	return errors.Join(errs...)
}

// unused reports whether a file is not read, as things are: comqtt's files name more than they use.
func (l *Loaded) unused(path string) bool {
	switch path {
	case "bridge-path":
		return l.BridgeWay == 0
	case "auth.conf-path":
		return l.Auth.Way == 0 || l.Auth.Datasource == 0
	case "auth.blacklist-path":
		return l.Auth.Way == 0
	case "dashboard.users-file", "dashboard.secret-file":
		return !l.Dashboard || l.MQTT.HTTP == ""
	}
	return false
}

func (l *Loaded) find(path string) (string, error) {
	tried := []string{path}
	if !filepath.IsAbs(path) && l.File != "" {
		dir := filepath.Dir(l.File)
		tried = append(tried, filepath.Join(dir, path), filepath.Join(dir, "..", path))
	}
	for _, p := range tried {
		_, err := os.Stat(p)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	if len(tried) == 1 {
		return "", fmt.Errorf("there is no file %s", path)
	}
	return "", fmt.Errorf("there is no file %s, nor %s, nor %s", tried[0], tried[1], tried[2])
}
