package session

// ring is a queue of entries that grows and shrinks by doubling and halving.
type ring struct {
	buf  []Entry // a power of two long, or nil
	head int
	n    int
}

func (r *ring) at(i int) *Entry { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring) push(e Entry) *Entry {
	if r.n == len(r.buf) {
		r.resize(max(4, 2*len(r.buf)))
	}
	r.n++
	p := r.at(r.n - 1)
	*p = e
	return p
}

func (r *ring) pop() {
	*r.at(0) = Entry{}
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 && len(r.buf) > 64 {
		r.buf, r.head = nil, 0
	}
}

func (r *ring) resize(size int) {
	buf := make([]Entry, size)
	for i := range r.n {
		buf[i] = *r.at(i)
	}
	r.buf, r.head = buf, 0
}

// compact removes entries that are done from the middle, and returns a and b, two positions, as they are afterwards.
func (r *ring) compact(a, b int) (int, int) {
	kept, na, nb := 0, 0, 0
	for i := range r.n {
		e := r.at(i)
		if e.State == Done {
			continue
		}
		if i < a {
			na++
		}
		if i < b {
			nb++
		}
		if kept != i {
			*r.at(kept) = *e
		}
		kept++
	}
	for i := kept; i < r.n; i++ {
		*r.at(i) = Entry{}
	}
	r.n = kept
	return na, nb
}
