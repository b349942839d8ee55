package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// Schema returns a JSON Schema of the file, for editors. The one in schema.json is the same.
func Schema() ([]byte, error) {
	return titled(schemaOf(reflect.TypeFor[Config](), ""), "Configuration of a Shoal broker")
}

// BridgeSchema is Schema of the file of the bridge to Kafka. The one in schema-bridge.json is the same.
func BridgeSchema() ([]byte, error) {
	return titled(plainSchema(reflect.TypeFor[BridgeKafka]()), "Bridge of a Shoal broker to Kafka")
}

// WebhookSchema is Schema of the file of the bridge to a webhook. The one in schema-webhook.json is the same.
func WebhookSchema() ([]byte, error) {
	return titled(plainSchema(reflect.TypeFor[BridgeWebhook]()), "Bridge of a Shoal broker to a webhook")
}

// plainSchema is that of a file without dead keys and older names.
func plainSchema(t reflect.Type) object {
	properties := make(object)
	for _, f := range fieldsOf(t, "") {
		properties[f.key] = schemaOfField(f)
	}
	return object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
}

func titled(s object, title string) ([]byte, error) {
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = title
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}

type object = map[string]any

func schemaOf(t reflect.Type, path string) object {
	properties := make(object)
	for _, f := range fieldsOf(t, path) {
		for _, key := range f.keys {
			properties[key] = schemaOfField(f)
		}
	}
	for dead, reason := range deadKeys {
		addDead(properties, dead, path, reason)
	}
	if path == "" {
		for moved, to := range movedKeys {
			properties[moved] = object{"deprecated": true, "description": "older name of " + to}
		}
	}
	return object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
}

// addDead adds a key that has no effect to the section that has it.
func addDead(properties object, dead, path, reason string) {
	rest := dead
	if path != "" {
		var ok bool
		if rest, ok = strings.CutPrefix(dead, path+"."); !ok {
			return
		}
	}
	key, below, nested := strings.Cut(rest, ".")
	if !nested {
		properties[key] = object{"deprecated": true, "description": "has no effect: " + reason}
		return
	}
	if properties[key] == nil { // a section in which nothing has an effect
		properties[key] = object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": object{}}
	}
	section, ok := properties[key].(object)
	if inner, isObject := section["properties"].(object); ok && isObject {
		addDead(inner, below, "", reason)
	}
}

func schemaOfField(f field) object {
	switch {
	case f.section:
		return schemaOf(f.kind, f.path)
	case f.list:
		return object{"type": []string{"array", "null"}, "description": f.doc, "items": schemaOf(f.kind.Elem(), f.path)}
	}
	s := object{"description": f.doc}
	if f.def != "" {
		s["default"] = f.def
	}
	switch {
	case f.kind == reflect.TypeFor[time.Duration]():
		s["type"], s["pattern"] = []string{"string", "null"}, `^([0-9.]+(ns|us|ms|s|m|h))+$|\$\{`
	case f.kind.Kind() == reflect.Slice:
		s["type"], s["items"] = []string{"array", "string", "null"}, object{"type": "string"}
	case f.kind.Kind() == reflect.Bool:
		s["type"] = []string{"boolean", "integer", "string", "null"}
	case f.kind.Kind() == reflect.String:
		s["type"] = []string{"string", "integer", "null"}
	default:
		s["type"] = []string{"number", "string", "null"} // a string may be ${NAME}
	}
	return s
}
