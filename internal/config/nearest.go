package config

// nearest returns the name that is most like what was written, or "" if none is.
func nearest(written string, names []string) (best string) {
	const most = 3
	least := min(most, (len(written)+1)/2) + 1
	for _, name := range names {
		if n := distance(written, name); n < least {
			least, best = n, name
		}
	}
	return best
}

// distance is how many letters have to be added, removed or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
