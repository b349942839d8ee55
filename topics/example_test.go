package topics_test

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shoalmq/shoal/topics"
)

func ExampleValidateFilter() {
	err := topics.ValidateFilter("sport/tennis#")
	fmt.Println(err)
	fmt.Println(errors.Is(err, topics.ErrInvalid), errors.Is(err, topics.ErrMultiLevel))
	// Output:
	// topics: '#' is not alone in the last level [MQTT-4.7.1-1]
	// true true
}

func ExampleParseShare() {
	s, ok, err := topics.ParseShare("$share/workers/jobs/+")
	fmt.Println(s.Group, s.Filter, ok, err)
	// Output: workers jobs/+ true <nil>
}

func ExampleMatch() {
	fmt.Println(topics.Match("sport/+/player1", "sport/tennis/player1"))
	fmt.Println(topics.Match("sport/#", "sport"))
	fmt.Println(topics.Match("#", "$SYS/uptime"))
	// Output:
	// true
	// true
	// false
}

func ExampleIndex() {
	x := topics.NewIndex[string]()
	x.Add("room/+/temperature", "display")
	x.Add("room/1/temperature", "heating")
	x.Add("room/#", "log")

	subscribers := x.AppendMatches(nil, "room/1/temperature")
	slices.Sort(subscribers)
	fmt.Println(subscribers)
	// Output: [display heating log]
}

func ExampleIndex_Version() {
	x := topics.NewIndex[string]()
	x.Add("a/+", "one")

	version := x.Version() // before the match
	cached := x.AppendMatches(nil, "a/b")
	fmt.Println(cached, x.Version() == version)

	x.Add("a/b", "two")
	fmt.Println("still right:", x.Version() == version)
	// Output:
	// [one] true
	// still right: false
}

func ExampleNames() {
	retained := topics.NewNames[string]()
	retained.Set("room/1/temperature", "21")
	retained.Set("room/2/temperature", "19")
	retained.Set("room/2/light", "on")

	retained.Match("room/+/temperature", func(name, v string) bool {
		fmt.Println(name, v)
		return true
	})
	// Output:
	// room/1/temperature 21
	// room/2/temperature 19
}
