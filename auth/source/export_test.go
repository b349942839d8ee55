package source

// CacheKeys returns the keys of everything that is cached.
func (a *Authenticator) CacheKeys() (keys []string) {
	for key := range a.users.entries {
		keys = append(keys, key)
	}
	for key := range a.proofs.entries {
		keys = append(keys, key)
	}
	return keys
}
