package topics

// table is a map by string that gives memory back when it has lost most of its entries. The zero table is empty.
type table[T any] struct {
	m    map[string]T
	peak int // the most entries m has had
}

// put keeps key: also when the key is there already, because a Go map then takes over the new string.
func (t *table[T]) put(key string, v T) {
	if t.m == nil {
		t.m = make(map[string]T)
	}
	t.m[key] = v
	t.peak = max(t.peak, len(t.m))
}

func (t *table[T]) remove(key string) {
	delete(t.m, key)
	const small, ratio = 64, 16
	switch n := len(t.m); {
	case n == 0:
		*t = table[T]{}
	case t.peak > small && n < t.peak/ratio:
		m := make(map[string]T, n)
		for k, v := range t.m {
			m[k] = v
		}
		t.m, t.peak = m, n
	}
}
