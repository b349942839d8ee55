package cert

// ParseCRLs returns how many lists there are.
func ParseCRLs(data []byte) (int, error) {
	all, err := parseCRLs(data)
	return len(all), err
}
