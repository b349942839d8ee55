package acl

import "fmt"

// FromNumber returns what comqtt's access number says of a filter: 0 nothing is allowed, 1
// subscribing, 2 publishing, 3 both. With LongestWins, which is comqtt's order, what a number does
// not allow it denies, so that "a/b" with 1 takes the right to publish away that "a/#" with 3 gave.
// In other orders only 0 denies, so that several numbers add up. Another number is an error, and
// the rules that are returned with it deny.
func FromNumber(order Order, filter string, access int) ([]Rule, error) {
	deny := Rule{Effect: Deny, Filter: filter}
	switch access {
	case 0:
		return []Rule{deny}, nil
	case 3:
		return []Rule{{Effect: Allow, Filter: filter}}, nil
	case 1, 2:
		allowed := Subscribe
		if access == 2 {
			allowed = Publish
		}
		rules := []Rule{{Effect: Allow, Actions: allowed, Filter: filter}}
		if order == LongestWins {
			rules = append(rules, Rule{Effect: Deny, Actions: Both &^ allowed, Filter: filter})
		}
		return rules, nil
	}
	return []Rule{deny}, fmt.Errorf("acl: access to %q is %d; it must be from 0 to 3", filter, access)
}
