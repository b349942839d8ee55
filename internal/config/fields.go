package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is a key: one that has a value, or a part of the file.
type field struct {
	path    string // as in mqtt.tcp
	key     string
	keys    []string // key, and other names of it
	flag    string
	def     string
	is      string // path, optional-path, dir, secret or nothing
	only    string
	doc     string
	index   int
	kind    reflect.Type
	section bool // a struct
	list    bool // of structs
}

// fieldsOf are the fields of a struct, whose path is given.
func fieldsOf(t reflect.Type, path string) (all []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("key")
		all = append(all, field{
			path: join(path, key), key: key, keys: append([]string{key}, words(f.Tag.Get("key2"))...), flag: f.Tag.Get("flag"),
			def: f.Tag.Get("default"), is: f.Tag.Get("is"), only: f.Tag.Get("only"), doc: f.Tag.Get("doc"), index: i, kind: f.Type,
			section: f.Type.Kind() == reflect.Struct,
			list:    f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct,
		})
	}
	return all
}

func words(s string) []string { return strings.Fields(s) }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// leaf is a key with a value, in a Config.
type leaf struct {
	field
	value reflect.Value
}

// leaves are all keys of cfg that have a value; lists of sections are not looked into.
func leaves(cfg any) []leaf {
	return leavesOf(reflect.ValueOf(cfg).Elem(), "", "")
}

func leavesOf(v reflect.Value, path, only string) (all []leaf) {
	for _, f := range fieldsOf(v.Type(), path) {
		if f.only == "" {
			f.only = only
		}
		switch {
		case f.section:
			all = append(all, leavesOf(v.Field(f.index), f.path, f.only)...)
		case !f.list:
			all = append(all, leaf{f, v.Field(f.index)})
		}
	}
	return all
}

func setDefaults(v reflect.Value) {
	for _, l := range leavesOf(v, "", "") {
		if l.def != "" {
			if err := setText(l.value, l.def); err != nil {
				panic(fmt.Sprintf("config: the default of %s: %v", l.path, err)) // a test holds that it is none
			}
		}
	}
}

// setText reads a value as flags, the environment and scalars of a file have it.
func setText(v reflect.Value, text string) error {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is not a time such as 30s or 5m", text)
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(n)
	case reflect.Uint16, reflect.Uint32:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number from 0 to %d", text, uint64(1)<<v.Type().Bits()-1)
		}
		v.SetUint(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				v.Set(reflect.Append(v, reflect.ValueOf(part)))
			}
		}
	default:
		return fmt.Errorf("a %s has no text form", v.Type())
	}
	return nil
}

// text is the value as setText reads it.
func text(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		var parts []string
		for i := range v.Len() {
			parts = append(parts, v.Index(i).String())
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}
