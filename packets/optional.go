package packets

// Optional is a value that may be absent. Its zero value is absent.
type Optional[T any] struct {
	Value T
	Set   bool
}

// Some returns v as a value that is present.
func Some[T any](v T) Optional[T] { return Optional[T]{Value: v, Set: true} }

// Get returns the value and whether it is present.
func (o Optional[T]) Get() (T, bool) { return o.Value, o.Set }

// Or returns the value, or def if it is absent.
func (o Optional[T]) Or(def T) T {
	if o.Set {
		return o.Value
	}
	return def
}
