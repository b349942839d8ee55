package file

// ParseUsers reads a users file that is called "fuzz".
func ParseUsers(data []byte) error {
	_, err := parseUsers("fuzz", data)
	return err
}

// ParseLedger reads a ledger that is called "fuzz", and asks it.
func ParseLedger(data []byte) error {
	_, err := parseLedger("fuzz", data, false)
	return err
}

// ParseMosquitto reads a password_file and an acl_file.
func ParseMosquitto(passwords, rules []byte) error {
	users, err := parseMosquittoPasswords("fuzz", passwords)
	if err != nil {
		return err
	}
	m, err := parseMosquittoACL("fuzz", rules)
	if err != nil {
		return err
	}
	_, err = withMosquittoACL(users, m, true)
	return err
}
