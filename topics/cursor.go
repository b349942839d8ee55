package topics

// usualDepth is that of a tree of ten million names. A deeper one costs an allocation more.
const usualDepth = 6

// cursor walks over the items of a frozen tree in order.
type cursor[V any] struct {
	path []step[V] // from the root; the last step is at the item, unless its page has none left
}

// step is a place in a page: before items[i], and for a page with others below, in below[i] or behind it.
type step[V any] struct {
	page *page[V]
	i    int
}

// seek goes to the first item at or below root that is not before target.
func (c *cursor[V]) seek(root *page[V], target []byte) {
	c.path = c.path[:0]
	for p := root; p != nil; {
		i, found := search(p, target)
		c.path = append(c.path, step[V]{p, i})
		if found || p.below == nil {
			break
		}
		p = p.below[i]
	}
	c.climb()
}

// item returns the item the cursor is at, or nil behind the last.
func (c *cursor[V]) item() *item[V] {
	if len(c.path) == 0 {
		return nil
	}
	s := c.path[len(c.path)-1]
	return &s.page.items[s.i]
}

// next goes one item further. There must be an item where the cursor is.
func (c *cursor[V]) next() {
	top := &c.path[len(c.path)-1]
	top.i++
	if top.page.below == nil {
		c.climb()
		return
	}
	for p := top.page.below[top.i]; ; p = p.below[0] {
		c.path = append(c.path, step[V]{p, 0})
		if p.below == nil {
			return
		}
	}
}

// climb leaves the pages that have no item left.
func (c *cursor[V]) climb() {
	for top := len(c.path) - 1; top >= 0 && c.path[top].i == len(c.path[top].page.items); top-- {
		c.path = c.path[:top]
	}
}
