// Package config reads what the programs in examples are told: a YAML file, the environment and flags. The keys are comqtt's,
// whose files are read as they are, and further ones.
//
//	cfg, err := config.Load(config.Program{Name: "cluster", Cluster: true}, os.Args[1:], os.Environ(), os.Stderr)
//
// The structs of config.go are the schema: the tags of a field say its key, its flag, its default and what it means. Everything else is
// made of them: the decoder, which knows line and column of every mistake, flags and their help, environment variables, the
// JSON Schema that editors use (schema.json), and what -print-config shows.
//
// A value comes from the last of these that has one: the default, the file, the environment (SHOAL_ and the key in capitals, as in
// SHOAL_MQTT_TCP), a flag. A key without a value, such as "password:", is as good as no key. ${NAME} in a value of the file stands for
// an environment variable.
//
// The package does not know the broker: what a Config means is up to the programs.
package config
