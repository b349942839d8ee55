package behaviour

import (
	"flag"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// Env is what a case runs against.
type Env interface {
	// Dial connects client i of the case, to node i modulo Nodes.
	Dial(t testing.TB, i int) net.Conn
	Nodes() int
}

// Harness runs cases: it starts brokers that are new and let everybody in, with the case's options, calls body and stops them.
//
// A case that is Timed must run in a synctest bubble, where time.Sleep takes no time.
type Harness func(t *testing.T, c *Case, body func(t *testing.T, env Env))

// Case is one behaviour.
type Case struct {
	Name string
	// Clauses are the statements of MQTT 5.0 that the case holds; those of 3.1.1 are marked "3.1.1:".
	Clauses []string
	// Timed cases need virtual time.
	Timed bool
	// Prompt cases are about how soon something happens: the nodes of a cluster must have the timing that they have by default.
	Prompt bool
	// Options configure the brokers: nil for the defaults, which let everybody in. What it returns must not be shared between brokers.
	Options func() []shoal.Option

	run func(c *context)
}

// BrokerOptions are the options of one broker for the case.
func (c *Case) BrokerOptions() []shoal.Option {
	if c.Options == nil {
		return []shoal.Option{shoal.WithAnonymous()}
	}
	return c.Options()
}

// Cases returns the whole table.
func Cases() []Case {
	var all []Case
	for _, some := range [][]Case{
		connectCases(), publishCases(), flowCases(), subscribeCases(), retainedCases(), sharedCases(), sessionCases(), willCases(),
		heardOutCases(), packetSizeCases(), belongingCases(), malformedCases(), refusedCases(), capabilityCases(), enhancedCases(),
		byteCases(), versionCases(),
	} {
		all = append(all, some...)
	}
	return all
}

// Run runs the whole table, each case as a subtest with the case's name. A case that did not run to its end fails the test: the table of
// statements in internal/conformance relies on that.
func Run(t *testing.T, h Harness) {
	completed := make(map[string]bool)
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			h(t, &c, func(t *testing.T, env Env) {
				c.run(&context{T: t, env: env})
				completed[c.Name] = !t.Skipped()
			})
		})
	}
	if f := flag.Lookup("test.run"); t.Failed() || f != nil && strings.Contains(f.Value.String(), "/") {
		return // only some were asked for
	}
	for _, c := range Cases() {
		if !completed[c.Name] {
			t.Errorf("the case %q did not run", c.Name)
		}
	}
}

// context is what a case works with.
type context struct {
	*testing.T
	env Env
}

// dial returns client i, not yet connected.
func (c *context) dial(i int, v packets.Version) *mqtttest.Client {
	c.Helper()
	return mqtttest.New(c.T, c.env.Dial(c.T, i), v)
}

// connect returns client i, connected with a clean start.
func (c *context) connect(i int, v packets.Version, id string) *mqtttest.Client {
	c.Helper()
	cl := c.dial(i, v)
	cl.Connect(&packets.Connect{ClientID: id, CleanStart: true})
	return cl
}

// v5 returns client i with version 5.
func (c *context) v5(i int, id string) *mqtttest.Client {
	c.Helper()
	return c.connect(i, packets.V5, id)
}

// with returns client i with version 5, connected as p says.
func (c *context) with(i int, p *packets.Connect) (*mqtttest.Client, *packets.ConnAck) {
	c.Helper()
	cl := c.dial(i, packets.V5)
	return cl, cl.Connect(p)
}

// pass lets virtual time pass.
func (c *context) pass(d time.Duration) { time.Sleep(d) }

// soon requires that something comes to be true which nothing that was answered has promised yet: between nodes it may be under way.
func (c *context) soon(what string, is func() bool) {
	c.Helper()
	for range 200 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.Fatal("not within two seconds: " + what)
}

// code requires a reason code.
func (c *context) code(want, got packets.ReasonCode) {
	c.Helper()
	require.Equal(c.T, want, got, "%v, not %v", want, got)
}

const day = 24 * 60 * 60

// kept is a CONNECT of version 5 with a session that lasts a day.
func kept(id string, clean bool) *packets.Connect {
	return &packets.Connect{
		ClientID: id, CleanStart: clean, Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(day))},
	}
}
