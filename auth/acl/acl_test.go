package acl_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

var ann = acl.Client{UserName: "ann", ClientID: "c1", Attributes: map[string]string{"tenant": "t1"}}

func publish(topic string) *shoal.AccessRequest {
	return &shoal.AccessRequest{Action: shoal.ActionPublish, Topic: topic}
}

func subscribe(filter string) *shoal.AccessRequest {
	return &shoal.AccessRequest{Action: shoal.ActionSubscribe, Topic: filter}
}

func allow(actions acl.Actions, filter string) acl.Rule {
	return acl.Rule{Effect: acl.Allow, Actions: actions, Filter: filter}
}

func deny(actions acl.Actions, filter string) acl.Rule {
	return acl.Rule{Actions: actions, Filter: filter}
}

func access(t testing.TB, order acl.Order, c acl.Client, rules ...acl.Rule) *acl.Access {
	t.Helper()
	l, err := acl.Compile(order, rules)
	require.NoError(t, err)
	return l.For(c)
}

func TestTopicsAreMatchedLevelByLevel(t *testing.T) {
	a := access(t, acl.DenyWins, ann, allow(acl.Both, "a/b"), allow(acl.Publish, "c/#"), allow(acl.Subscribe, "+/d"))
	for _, tt := range []struct {
		r    *shoal.AccessRequest
		want acl.Decision
	}{
		{publish("a/b"), acl.Allowed},
		{publish("a/b/c"), acl.NoMatch}, // no prefix
		{publish("a"), acl.NoMatch},
		{subscribe("a/b"), acl.Allowed},
		{subscribe("a/b/#"), acl.NoMatch},
		{subscribe("a/+"), acl.NoMatch},
		{subscribe("#"), acl.NoMatch},
		{publish("c"), acl.Allowed}, // [MQTT-4.7.1-2]
		{publish("c/x/y"), acl.Allowed},
		{subscribe("c/x"), acl.NoMatch},
		{publish("x/d"), acl.NoMatch},
		{subscribe("x/d"), acl.Allowed},
		{subscribe("+/d"), acl.Allowed},
		{subscribe("$SYS/d"), acl.NoMatch}, // [MQTT-4.7.2-1]
		{subscribe("$share/g/x/d"), acl.Allowed},
		{subscribe("$share/g/#"), acl.NoMatch},
		{subscribe("$share/g"), acl.Denied}, // is none
		{subscribe("$share//d"), acl.Denied},
	} {
		require.Equal(t, tt.want, a.Decide(tt.r), "%s %s", tt.r.Action, tt.r.Topic)
	}
	require.Equal(t, acl.NoMatch, (*acl.Access)(nil).Decide(publish("a")))
	require.Equal(t, acl.NoMatch, (*acl.List)(nil).For(ann).Decide(publish("a")))
}

func TestDenyingRuleStopsSubscriptionsThatReachIntoIt(t *testing.T) {
	for _, order := range []acl.Order{acl.DenyWins, acl.AsWritten, acl.LongestWins} {
		a := access(t, order, ann, deny(acl.Both, "secret/#"), deny(acl.Both, "$SYS/#"), allow(acl.Both, "#"))
		for filter, want := range map[string]acl.Decision{
			"#": acl.Denied, "+/x": acl.Denied, "secret/a": acl.Denied, "$share/g/+": acl.Denied, "a/#": acl.Allowed,
			"+": acl.Denied, "$SYS/a": acl.Denied, "secrets": acl.Allowed,
		} {
			require.Equal(t, want, a.Decide(subscribe(filter)), "%s: %s", order, filter)
		}
		require.Equal(t, acl.Denied, a.Decide(publish("secret")))
		require.Equal(t, acl.Allowed, a.Decide(publish("other")))
	}
	// "#" does not reach into $SYS.
	a := access(t, acl.DenyWins, ann, deny(acl.Both, "$SYS/#"), allow(acl.Both, "#"))
	require.Equal(t, acl.Allowed, a.Decide(subscribe("#")))
}

func TestOrders(t *testing.T) {
	rules := []acl.Rule{allow(acl.Publish, "a/#"), deny(acl.Publish, "a/b"), allow(acl.Publish, "a/b/#")}
	for order, want := range map[acl.Order]acl.Decision{
		acl.DenyWins: acl.Denied, acl.AsWritten: acl.Allowed, acl.LongestWins: acl.Allowed,
	} {
		require.Equal(t, want, access(t, order, ann, rules...).Decide(publish("a/b")), order)
	}
	short := []acl.Rule{deny(acl.Publish, "a/+"), allow(acl.Publish, "a/bb"), deny(acl.Publish, "#")}
	for order, want := range map[acl.Order]acl.Decision{
		acl.DenyWins: acl.Denied, acl.AsWritten: acl.Denied, acl.LongestWins: acl.Allowed,
	} {
		require.Equal(t, want, access(t, order, ann, short...).Decide(publish("a/bb")), order)
	}
	for _, name := range []string{"deny-wins", "as-written", "longest-wins"} {
		o, err := acl.ParseOrder(name)
		require.NoError(t, err)
		require.Equal(t, name, o.String())
	}
	_, err := acl.ParseOrder("random")
	require.ErrorContains(t, err, "longest-wins")
}

// TestFiltersOfEqualLengthAreDecidedAlways holds that a deny is not a matter of luck.
func TestFiltersOfEqualLengthAreDecidedAlways(t *testing.T) {
	for range 1000 {
		rules := []acl.Rule{allow(acl.Both, "a/+"), deny(acl.Both, "+/b"), allow(acl.Both, "+/+")}
		rand.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
		require.Equal(t, acl.Denied, access(t, acl.LongestWins, ann, rules...).Decide(publish("a/b")))
		require.Equal(t, acl.Denied, access(t, acl.DenyWins, ann, rules...).Decide(publish("a/b")))
	}
}

func TestQoSAndRetain(t *testing.T) {
	low := allow(acl.Both, "a")
	low.QoS = []packets.QoS{0, 1}
	plain := allow(acl.Publish, "b")
	plain.Retain = acl.RetainNotSet
	only := allow(acl.Both, "c")
	only.Retain = acl.RetainSet
	a := access(t, acl.DenyWins, ann, low, plain, only)
	for _, tt := range []struct {
		action shoal.Action
		topic  string
		qos    packets.QoS
		retain bool
		want   acl.Decision
	}{
		{shoal.ActionPublish, "a", 1, true, acl.Allowed},
		{shoal.ActionPublish, "a", 2, false, acl.NoMatch},
		{shoal.ActionSubscribe, "a", 0, false, acl.Allowed},
		{shoal.ActionSubscribe, "a", 2, false, acl.NoMatch},
		{shoal.ActionPublish, "b", 2, false, acl.Allowed},
		{shoal.ActionPublish, "b", 0, true, acl.NoMatch},
		{shoal.ActionPublish, "c", 0, true, acl.Allowed},
		{shoal.ActionPublish, "c", 0, false, acl.NoMatch},
		{shoal.ActionSubscribe, "c", 0, false, acl.Allowed}, // says nothing of subscriptions
	} {
		r := &shoal.AccessRequest{Action: tt.action, Topic: tt.topic, QoS: tt.qos, Retain: tt.retain}
		require.Equal(t, tt.want, a.Decide(r), "%+v", tt)
	}
	never := deny(acl.Publish, "#")
	never.Retain = acl.RetainSet
	a = access(t, acl.DenyWins, ann, never, allow(acl.Both, "#"))
	require.Equal(t, acl.Denied, a.Decide(&shoal.AccessRequest{Action: shoal.ActionPublish, Topic: "x", Retain: true}))
	require.Equal(t, acl.Allowed, a.Decide(publish("x")))
	require.Equal(t, acl.Allowed, a.Decide(subscribe("#")))
}

func TestPlaceholders(t *testing.T) {
	a := access(t, acl.DenyWins, ann, allow(acl.Both, "u/%u/#"), allow(acl.Both, "x%c/y"),
		allow(acl.Both, "%{tenant}/%u/%c"), allow(acl.Both, "100%%"), allow(acl.Both, "n/%{nothing}/#"))
	for topic, want := range map[string]acl.Decision{
		"u/ann/x": acl.Allowed, "u/bob/x": acl.NoMatch, "xc1/y": acl.Allowed, "t1/ann/c1": acl.Allowed,
		"t2/ann/c1": acl.NoMatch, "100%": acl.Allowed, "n//x": acl.NoMatch, "n/x": acl.NoMatch, "u/%u/x": acl.NoMatch,
	} {
		require.Equal(t, want, a.Decide(publish(topic)), topic)
	}
	// A value is put in once.
	tricky := acl.Client{UserName: "%c", ClientID: "c1"}
	a = access(t, acl.DenyWins, tricky, allow(acl.Both, "u/%u"))
	require.Equal(t, acl.Allowed, a.Decide(publish("u/%c")))
	require.Equal(t, acl.NoMatch, a.Decide(publish("u/c1")))
}

// TestValuesCannotWidenRules tries names that would change what a filter reaches.
func TestValuesCannotWidenRules(t *testing.T) {
	filters := []string{"%u/#", "u/%u/#", "u/%u", "u/x%u/y", "%u", "%u/%c"}
	requests := []*shoal.AccessRequest{}
	for _, topic := range []string{
		"u", "u/a", "u/a/b", "u/ann", "u/ann/x", "$SYS/x", "x", "", "/", "/x", "u//x", "u/xa/y", "u/x/y", "u/xann/b/y", "a/c1", "+", "#",
	} {
		if topics.ValidateName(topic) == nil {
			requests = append(requests, publish(topic))
		}
		if topics.ValidateFilter(topic) == nil {
			requests = append(requests, subscribe(topic))
		}
	}
	for _, name := range []string{"", "+", "#", "a/b", "/", "a/#", "+/+", "ann/", "a+", "#a", "\x00", "\xff", "$SYS", "$share/g"} {
		c := acl.Client{UserName: name, ClientID: "c1"}
		for _, f := range filters {
			if strings.HasPrefix(name, "$S") && !strings.HasPrefix(f, "%u") {
				continue // an ordinary value where it does not come first
			}
			a := access(t, acl.DenyWins, c, allow(acl.Both, f))
			for _, r := range requests {
				require.Equal(t, acl.NoMatch, a.Decide(r), "%q in %q: %s %s", name, f, r.Action, r.Topic)
			}
		}
		for _, order := range []acl.Order{acl.DenyWins, acl.AsWritten, acl.LongestWins} {
			a := access(t, order, c, deny(acl.Publish, "u/%u/x"), allow(acl.Both, "u/ann/long/#"), allow(acl.Both, "#"))
			if !strings.HasPrefix(name, "$S") {
				require.Equal(t, acl.Denied, a.Decide(publish("u/ann/long/x")), "%q: a deny fails closed", name)
			}
			require.Equal(t, acl.Allowed, a.Decide(publish("v/ann/x")))
			a = access(t, order, c, deny(acl.Publish, "%u/x"), allow(acl.Both, "#"), allow(acl.Both, "$SYS/#"))
			require.Equal(t, acl.Denied, a.Decide(publish("any/y")), "%q: a deny fails closed", name)
			require.Equal(t, acl.Denied, a.Decide(publish("$SYS/y")), "%q: a deny fails closed", name)
			require.Equal(t, acl.Allowed, a.Decide(subscribe("any/y")))
		}
	}
}

func TestCompileFailsClosed(t *testing.T) {
	for _, filter := range []string{"", "a/#/b", "a+", "%", "%x", "%{", "%{}", "%{a", "+%u", "%u#", "$share/g/a", "a\x00b", "\xff"} {
		l, err := acl.Compile(acl.DenyWins, []acl.Rule{allow(acl.Both, "ok"), allow(acl.Both, filter)})
		require.ErrorContains(t, err, "rule 2", filter)
		require.Equal(t, acl.Allowed, l.For(ann).Decide(publish("ok")))
		for _, order := range []acl.Order{acl.DenyWins, acl.LongestWins} {
			l, err = acl.Compile(order, []acl.Rule{allow(acl.Both, "ok"), deny(acl.Publish, filter)})
			require.ErrorContains(t, err, "rule 2", filter)
			require.Equal(t, acl.Denied, l.For(ann).Decide(publish("ok")), filter)
			require.Equal(t, acl.Denied, l.For(ann).Decide(subscribe("$SYS")), filter)
		}
	}
	for _, r := range []acl.Rule{
		{Effect: 7, Filter: "a"}, {Actions: 4, Filter: "a"}, {Retain: 3, Filter: "a"}, {QoS: []packets.QoS{3}, Filter: "a"},
	} {
		l, err := acl.Compile(acl.DenyWins, []acl.Rule{r, allow(acl.Both, "#")})
		require.Error(t, err)
		require.Equal(t, acl.Denied, l.For(ann).Decide(publish("a")))
	}
	l, err := acl.Compile(9, []acl.Rule{allow(acl.Both, "#")})
	require.Error(t, err)
	require.Equal(t, acl.Denied, l.For(ann).Decide(publish("a")))
	l, err = acl.Compile(acl.DenyWins, make([]acl.Rule, acl.MaxRules+1))
	require.ErrorContains(t, err, "10000")
	require.Equal(t, acl.Denied, l.For(ann).Decide(publish("a")))
}

func TestMerge(t *testing.T) {
	one, err := acl.Compile(acl.DenyWins, []acl.Rule{allow(acl.Both, "#")})
	require.NoError(t, err)
	two, err := acl.Compile(acl.AsWritten, []acl.Rule{allow(acl.Both, "a"), deny(acl.Both, "a")})
	require.NoError(t, err)
	require.Equal(t, acl.Denied, one.Merge(two).For(ann).Decide(publish("a")))
	require.Equal(t, acl.Allowed, two.Merge(one).For(ann).Decide(publish("a")))
	require.Equal(t, 3, two.Merge(one).Len())
	require.Equal(t, acl.Denied, one.Merge(acl.Nothing()).For(ann).Decide(subscribe("$SYS/x")))
	var none *acl.List
	require.Same(t, one, one.Merge(none))
	require.Same(t, one, none.Merge(one))
	require.Nil(t, none.Merge(nil))
}

// TestNumbers holds what comqtt's access numbers mean.
func TestNumbers(t *testing.T) {
	decide := func(order acl.Order, numbers map[string]int, r *shoal.AccessRequest) acl.Decision {
		var rules []acl.Rule
		for filter, n := range numbers {
			list, err := acl.FromNumber(order, filter, n)
			require.NoError(t, err)
			rules = append(rules, list...)
		}
		return access(t, order, ann, rules...).Decide(r)
	}
	n := map[string]int{"a/#": 3, "a/b": 1, "a/c": 2, "a/d/#": 0, "#": 1}
	for _, tt := range []struct {
		r    *shoal.AccessRequest
		want acl.Decision
	}{
		{publish("a/x"), acl.Allowed},
		{publish("a/b"), acl.Denied}, // the longest filter says subscribing only
		{subscribe("a/b"), acl.Allowed},
		{publish("a/c"), acl.Allowed},
		{subscribe("a/c"), acl.Denied},
		{publish("a/d/e"), acl.Denied},
		{publish("a/b/c"), acl.Allowed}, // "a/b" is no prefix
		{publish("z"), acl.Denied},
		{subscribe("z"), acl.Allowed},
		{subscribe("a/#"), acl.Denied}, // "a/c" and "a/d" would come by it
		{subscribe("$SYS/#"), acl.NoMatch},
	} {
		for range 20 { // whatever the order of the map
			require.Equal(t, tt.want, decide(acl.LongestWins, n, tt.r), "%s %s", tt.r.Action, tt.r.Topic)
		}
	}
	require.Equal(t, acl.Allowed, decide(acl.DenyWins, map[string]int{"#": 1, "a": 2}, subscribe("a")))
	require.Equal(t, acl.Allowed, decide(acl.DenyWins, map[string]int{"#": 1, "a": 2}, publish("a")))
	for _, wrong := range []int{-1, 4} {
		rules, err := acl.FromNumber(acl.LongestWins, "a", wrong)
		require.ErrorContains(t, err, "from 0 to 3")
		require.Equal(t, []acl.Rule{deny(0, "a")}, rules)
	}
}

func TestParseJSON(t *testing.T) {
	rules, err := acl.ParseJSON(acl.DenyWins, []byte(
		`[{"allow":"publish","topic":"a/%u","topics":["b"],"qos":[0,1],"retain":false},{"deny":"both","topic":"c"}]`))
	require.NoError(t, err)
	qos := []packets.QoS{0, 1}
	require.Equal(t, []acl.Rule{
		{Effect: acl.Allow, Actions: acl.Publish, Filter: "a/%u", QoS: qos, Retain: acl.RetainNotSet},
		{Effect: acl.Allow, Actions: acl.Publish, Filter: "b", QoS: qos, Retain: acl.RetainNotSet},
		deny(acl.Both, "c"),
	}, rules)
	rules, err = acl.ParseJSON(acl.LongestWins, []byte(` {"topictest/1":2}`))
	require.NoError(t, err)
	require.Equal(t, []acl.Rule{allow(acl.Publish, "topictest/1"), deny(acl.Subscribe, "topictest/1")}, rules)
	for _, text := range []string{
		"", "1", `"a"`, `[{}]`, `[{"allow":"publish"}]`, `[{"allow":"publish","deny":"both","topic":"a"}]`,
		`[{"allow":"write","topic":"a"}]`, `[{"allow":"publish","topic":"a","qoss":[1]}]`, `[{"allow":"publish","topic":"a","qos":[3]}]`,
		`[{"allow":"publish","topic":"a#"}]`, `[] []`, `{"a":4}`, `{"a":"3"}`, `{"a":null`,
	} {
		_, err := acl.ParseJSON(acl.DenyWins, []byte(text))
		require.Error(t, err, text)
	}
	_, err = acl.ParseJSON(acl.AsWritten, []byte(`{"a":1}`))
	require.ErrorContains(t, err, "no order")
}

// TestSubscriptionsAreGrantedOnlyAsTheirTopicsAre compares, for many small lists of rules, what is
// decided for subscriptions with what is decided for the topics that they reach.
func TestSubscriptionsAreGrantedOnlyAsTheirTopicsAre(t *testing.T) {
	filters := []string{"#", "+", "a", "b", "a/#", "a/+", "a/b", "+/b", "+/#", "$s", "$s/#", "b/#"}
	names := []string{"a", "b", "c", "a/b", "a/c", "c/b", "b/b", "a/b/c", "c/c", "$s", "$s/b", "/", "/b"}
	r := rand.New(rand.NewPCG(1, 2))
	granted := 0
	for range 3000 {
		rules := make([]acl.Rule, 1+r.IntN(4))
		for i := range rules {
			rules[i] = acl.Rule{Effect: acl.Effect(r.IntN(2)), Actions: acl.Subscribe, Filter: filters[r.IntN(len(filters))]}
		}
		order := acl.Order(r.IntN(3))
		a := access(t, order, ann, rules...)
		for _, f := range filters {
			if a.Decide(subscribe(f)) != acl.Allowed {
				continue
			}
			granted++
			for _, n := range names {
				if topics.Match(f, n) {
					require.Equal(t, acl.Allowed, a.Decide(subscribe(n)), "%s %v: %s was granted, %s is not", order, rules, f, n)
				}
			}
		}
	}
	require.Greater(t, granted, 1000)
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`[{"allow":"publish","topic":"a/%u","topics":["b"],"qos":[0,1],"retain":false}]`), "ann")
	f.Add([]byte(`{"topictest/1":2}`), "a/#")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		rules, err := acl.ParseJSON(acl.LongestWins, data)
		if err != nil {
			return
		}
		l, err := acl.Compile(acl.LongestWins, rules)
		if l == nil {
			t.Fatal("no list", err)
		}
		l.For(acl.Client{UserName: name, ClientID: name}).Decide(publish("a/b"))
	})
}

func Example() {
	list, err := acl.Compile(acl.DenyWins, []acl.Rule{
		{Effect: acl.Allow, Filter: "home/%u/#"},
		{Effect: acl.Allow, Actions: acl.Subscribe, Filter: "news/#"},
		{Effect: acl.Deny, Filter: "news/internal/#"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ann := list.For(acl.Client{UserName: "ann", ClientID: "phone"})
	for _, r := range []*shoal.AccessRequest{
		{Action: shoal.ActionPublish, Topic: "home/ann/door"},
		{Action: shoal.ActionPublish, Topic: "home/bob/door"},
		{Action: shoal.ActionSubscribe, Topic: "news/sport"},
		{Action: shoal.ActionSubscribe, Topic: "news/#"},
	} {
		fmt.Println(r.Action, r.Topic, "is", a(ann.Decide(r)))
	}
	// Output:
	// publish home/ann/door is allowed
	// publish home/bob/door is no match
	// subscribe news/sport is allowed
	// subscribe news/# is denied
}

func a(d acl.Decision) string { return d.String() }

func BenchmarkDecide(b *testing.B) {
	rules := make([]acl.Rule, 100)
	for i := range rules {
		rules[i] = allow(acl.Both, fmt.Sprintf("level/%d/+/x/#", i))
	}
	a := access(b, acl.DenyWins, ann, rules...)
	r := publish("level/99/a/x/y")
	b.ReportAllocs()
	for b.Loop() {
		if a.Decide(r) != acl.Allowed {
			b.Fatal("denied")
		}
	}
}
