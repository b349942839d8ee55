package shoal_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/memory"
)

var errDiskFull = errors.New("no space left on device")

// logLines collects what a broker logs, without what is below Info.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// with returns the lines that contain a text.
func (l *logLines) with(text string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// A store that fails: the QoS 2 message on which that is found out may have gone out. It is not answered, its identifier stays taken, so that the client
// that sends it again has it go to nobody a second time; and it is answered once the store works [MQTT-4.3.3-10].
func TestFirstUnkeptMessageGoesOutOnce(t *testing.T) {
	for name, v := range map[string]packets.Version{"3.1.1": packets.V311, "5.0": packets.V5} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &gated{Store: memory.New()}
				b := start(t, shoal.WithStorage(store))
				live := connect(t, b, "live")
				live.Subscribe(2, "t")
				kept, _ := connectWith(t, b, lasting("kept", true))
				kept.Subscribe(2, "t")
				kept.Disconnect()
				again := func(clean bool) *mqtttest.Client {
					c := dial(t, b, v)
					p := lasting("pub", clean)
					if v < packets.V5 {
						p = &packets.Connect{ClientID: "pub", CleanStart: clean}
					}
					c.Connect(p)
					return c
				}
				again(false).Disconnect() // its session lasts
				pub := again(false)
				synctest.Wait()
				store.set(nil, errDiskFull)
				m := &packets.Publish{QoS: 2, PacketID: 9, TopicName: "t", Payload: []byte("first")}
				pub.Send(m)
				live.ExpectPublish("t", "first")
				live.ExpectQuiet()
				pub.ExpectClosed()
				m.Dup = true
				for range 20 { // as clients do
					pub = again(false)
					pub.Send(m)
					pub.ExpectNothing(time.Second)
					pub.Close()
				}
				pub = again(false)
				pub.Send(m)
				live.ExpectNothing(time.Second)
				store.set(nil, nil)
				require.EqualValues(t, 9, mqtttest.Expect[*packets.PubRec](pub).PacketID)
				pub.Send(&packets.PubRel{PacketID: 9})
				pub.Expect(packets.TypePubComp)
				live.ExpectQuiet()
				kept, _ = connectWith(t, b, lasting("kept", false))
				kept.ExpectPublish("t", "first")
				kept.ExpectQuiet()
				require.Equal(t, packets.Success, connect(t, b, "other").Publish(2, "t", "later"))
				live.ExpectPublish("t", "later")
			})
		})
	}
}

// fails begins a failure of the store: it is known once something could not be kept.
func fails(t *testing.T, b *shoal.Broker, store *gated) {
	t.Helper()
	store.set(nil, errDiskFull)
	c, _ := connectWith(t, b, lasting("finds out", true))
	c.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "$share/x/nowhere/of/interest", QoS: 1}}})
	c.Close()
	synctest.Wait()
}

// What cannot be kept does not go out, to nobody, and is refused with a reason; what need not be kept flows.
func TestUnkeptMessagesAreRefusedBeforeTheyGoOut(t *testing.T) {
	for name, tc := range map[string]struct {
		p      packets.Publish
		lasts  bool // the publisher's session does
		refuse bool
	}{
		"QoS 1 for a session that lasts":            {packets.Publish{QoS: 1, TopicName: "kept"}, false, true},
		"QoS 2 for a session that lasts":            {packets.Publish{QoS: 2, TopicName: "kept"}, false, true},
		"QoS 1 for a group with one":                {packets.Publish{QoS: 1, TopicName: "group"}, false, true},
		"QoS 1 retained":                            {packets.Publish{QoS: 1, TopicName: "live", Retain: true}, false, true},
		"QoS 2 from a session that lasts":           {packets.Publish{QoS: 2, TopicName: "live"}, true, true},
		"QoS 2 from a session that lasts to nobody": {packets.Publish{QoS: 2, TopicName: "nobody"}, true, true},
		"QoS 1 from a session that lasts":           {packets.Publish{QoS: 1, TopicName: "live"}, true, false},
		"QoS 2 for a clean session":                 {packets.Publish{QoS: 2, TopicName: "live"}, false, false},
		"QoS 1 for a subscription of QoS 0":         {packets.Publish{QoS: 1, TopicName: "zero"}, false, false},
	} {
		for version, v := range map[string]packets.Version{"3.1.1": packets.V311, "5.0": packets.V5} {
			t.Run(name+" "+version, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &gated{Store: memory.New()}
					b := start(t, shoal.WithStorage(store))
					live := connect(t, b, "live")
					live.Subscribe(2, "#")
					kept, _ := connectWith(t, b, lasting("kept", true))
					kept.Subscribe(2, "kept")
					kept.Subscribe(1, "$share/g/group")
					kept.Subscribe(0, "zero")
					pub := dial(t, b, v)
					connect := &packets.Connect{ClientID: "pub", CleanStart: true}
					if tc.lasts {
						connect = lasting("pub", true)
						if v < packets.V5 {
							connect = &packets.Connect{ClientID: "pub"}
						}
					}
					pub.Connect(connect)
					fails(t, b, store)
					p := tc.p
					p.PacketID = 7
					pub.Send(&p)
					if !tc.refuse {
						live.Expect(packets.TypePublish)
						store.set(nil, nil)
						if p.QoS == 1 {
							require.False(t, mqtttest.Expect[*packets.PubAck](pub).ReasonCode.IsError())
						} else {
							require.False(t, mqtttest.Expect[*packets.PubRec](pub).ReasonCode.IsError())
						}
						return
					}
					switch {
					case v < packets.V5:
						pub.ExpectClosed()
					case p.QoS == 1:
						require.Equal(t, packets.ImplementationSpecificError, mqtttest.Expect[*packets.PubAck](pub).ReasonCode)
					default:
						require.Equal(t, packets.ImplementationSpecificError, mqtttest.Expect[*packets.PubRec](pub).ReasonCode)
					}
					live.ExpectNothing(time.Second)
					kept.ExpectNothing(time.Second)
					require.Equal(t, uint64(1), b.Metrics().Dropped[shoal.DropStoreAway])
					store.set(nil, nil)
					time.Sleep(10 * time.Second)
					live.ExpectQuiet()
					kept.ExpectQuiet()
					list, err := b.Retained("#")
					require.NoError(t, err)
					require.Empty(t, list)
				})
			})
		}
	}
}

// The program's own messages are refused likewise, and a failure says two lines, however long it lasts and whatever comes meanwhile.
func TestFailingStoreIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		log := new(logLines)
		b := start(t, shoal.WithStorage(store), shoal.WithLogger(log.logger()))
		kept, _ := connectWith(t, b, lasting("kept", true))
		kept.Subscribe(1, "t")
		kept.Disconnect()
		synctest.Wait()
		store.set(nil, errDiskFull)
		const refused = 500
		for i := range refused {
			err := b.Publish(t.Context(), shoal.Message{TopicName: "t", QoS: packets.QoS(1 + i%2), Payload: []byte("x")})
			var e *shoal.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, packets.ImplementationSpecificError, e.ReasonCode)
			time.Sleep(20 * time.Millisecond)
		}
		require.Len(t, log.with("level=ERROR"), 1)
		require.Len(t, log.with("no space left on device"), 1)
		store.set(nil, nil)
		time.Sleep(5 * time.Second)
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "t", QoS: 1, Payload: []byte("last")}))
		lines := log.with("the store works again")
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "failed_for=")
		require.Contains(t, lines[0], "refused="+strconv.Itoa(refused-1), "all but the one on which it was found out")
		kept, _ = connectWith(t, b, lasting("kept", false))
		kept.ExpectPublish("t", "x")
		kept.ExpectPublish("t", "last")
		kept.ExpectQuiet()
	})
}

// countedCommits counts the commits that are tried.
type countedCommits struct {
	*gated
	mu    sync.Mutex
	count int
	bytes uint64 // of the last
}

func (c *countedCommits) Commit(ctx context.Context, ops []shoal.Op) error {
	c.mu.Lock()
	c.count++
	c.bytes = 0
	for i := range ops {
		c.bytes += uint64(100 + len(ops[i].Space) + len(ops[i].Key) + len(ops[i].Value))
	}
	c.mu.Unlock()
	return c.gated.Commit(ctx, ops)
}

func (c *countedCommits) lastBytes() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

func (c *countedCommits) tried() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// A store that fails is tried again ever more seldom, not with each change.
func TestFailingStoreIsLeftInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countedCommits{gated: &gated{Store: memory.New()}}
		b := start(t, shoal.WithStorage(store))
		fails(t, b, store.gated)
		before := store.tried()
		for range 600 {
			connect(t, b, "x").Close()
			c, _ := connectWith(t, b, lasting("y", true))
			c.Close()
			time.Sleep(100 * time.Millisecond)
		}
		require.Less(t, store.tried()-before, 80, "in a minute")
		require.Greater(t, store.tried()-before, 40)
	})
}

// A store that does not answer at all is given up like one that fails, and nobody waits for ever.
func TestHangingStoreIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		log := new(logLines)
		b := start(t, shoal.WithStorage(store), shoal.WithLogger(log.logger()))
		kept, _ := connectWith(t, b, lasting("kept", true))
		kept.Subscribe(1, "t")
		synctest.Wait()
		gate := make(chan struct{})
		store.set(gate, nil)
		began := time.Now()
		require.Error(t, b.Publish(t.Context(), shoal.Message{TopicName: "t", QoS: 1, Payload: []byte("first")}))
		require.Less(t, time.Since(began), time.Minute)
		began = time.Now()
		require.Error(t, b.Publish(t.Context(), shoal.Message{TopicName: "t", QoS: 1, Payload: []byte("refused")}))
		require.Zero(t, time.Since(began))
		kept.ExpectPublish("t", "first")
		store.set(nil, nil)
		close(gate)
		time.Sleep(time.Second)
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "t", QoS: 1, Payload: []byte("last")}))
		kept.ExpectPublish("t", "last")
		require.Len(t, log.with("the store fails"), 1)
		require.Len(t, log.with("the store works again"), 1)
	})
}

// What gathers while a store fails has a bound, whatever comes, and when it works again it catches up with what there is then.
func TestJournalOfAFailingStoreIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		fails(t, b, store)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		payload := make([]byte, 1<<20)
		for i := range 300 {
			payload[0] = byte(i)
			topic := "same"
			if i%2 == 0 {
				topic = strconv.Itoa(i) // retained by name, each larger than its turn
			}
			_ = b.Publish(t.Context(), shoal.Message{TopicName: topic, Retain: true, Payload: payload})
			time.Sleep(time.Second)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(200<<20))
		dropped := b.Metrics().Dropped[shoal.DropStoreAway]
		require.Greater(t, dropped, uint64(50))
		lasts := dial(t, b, packets.V5)
		require.Equal(t, packets.ServerUnavailable, lasts.TryConnect(lasting("new", true)).ReasonCode, "nothing more can be kept")
		connect(t, b, "clean").Disconnect()
		store.set(nil, nil)
		time.Sleep(5 * time.Second)
		connectWith(t, b, lasting("new", true))
		now, err := b.Retained("#")
		require.NoError(t, err)
		stop(t, b)
		b = start(t, shoal.WithStorage(store))
		restored, err := b.Retained("#")
		require.NoError(t, err)
		require.ElementsMatch(t, now, restored)
	})
}

// Subscriptions, connections and acknowledgements that go on while a store fails take no more room the longer that lasts.
func TestChangesOfAFailingStoreAreCompacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countedCommits{gated: &gated{Store: memory.New()}}
		b := start(t, shoal.WithStorage(store))
		fails(t, b, store.gated)
		will := make([]byte, 32<<10)
		round := func(n int) (bytes uint64) {
			for range n {
				c, _ := connectWith(t, b, &packets.Connect{
					ClientID: "x", Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(60))},
					Will: &packets.Will{TopicName: "w", Payload: will},
				})
				code := c.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 1}}}).ReasonCodes[0]
				require.Equal(t, packets.ImplementationSpecificError, code)
				c.Disconnect()
				require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "same", Retain: true, Payload: will}))
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(10 * time.Second)
			return store.lastBytes()
		}
		first := round(100)
		require.Less(t, round(1000), first+200<<10)
	})
}
