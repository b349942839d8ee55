package jwt

// ParseKeySet returns how many keys of a JWK set are used.
func ParseKeySet(data []byte) (int, error) {
	keys, err := parseKeySet(data)
	return len(keys), err
}
