package password

// NewTestHash makes a Hash that verify decides for.
func NewTestHash(slow bool, verify func([]byte) bool) *Hash {
	return &Hash{scheme: "test", slow: slow, verify: verify}
}
