package session

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/growth"
)

// silent is a Log that keeps nothing.
type silent struct{}

func (silent) Enqueued(*Entry)       {}
func (silent) Sent(*Entry)           {}
func (silent) PubRecReceived(*Entry) {}
func (silent) Ended(*Entry, Why)     {}
func (silent) Received(uint16)       {}
func (silent) Completed(uint16)      {}

// handedOn gives a session n messages of a shared group that others had before, and which may be there.
func handedOn(n int) func() {
	s := New(&Limits{QueuedMessages: n, QueuedBytes: 1 << 30}, silent{})
	return func() {
		for i := range n {
			m := &Message{ID: ID{Number: uint64(i)}}
			if s.HasShared(m.ID, "$share/g/t") || s.Has(m.ID) || !s.Push(Entry{Msg: m, QoS: 1, Share: "$share/g/t"}) {
				panic("it is new")
			}
		}
	}
}

// lentOut has a session lend n messages and get none of them back, the last one first.
func lentOut(n int) func() {
	s := New(&Limits{QueuedMessages: n, QueuedBytes: 1 << 30}, silent{})
	m := &Message{TopicName: "t"}
	for range n {
		s.Push(Entry{Msg: m, QoS: 1, Share: "$share/g/t"})
	}
	return func() {
		lent := s.Lend(func(*Entry) bool { return true })
		for i := range lent {
			s.Given(lent[len(lent)-1-i].Seq)
		}
	}
}

func TestHandedOnMessagesAreFoundWithoutSearching(t *testing.T) { growth.Linear(t, 400, handedOn) }
func BenchmarkHandedOn(b *testing.B)                            { growth.Benchmark(b, 400, handedOn) }
func TestLentMessagesAreFoundWithoutSearching(t *testing.T)     { growth.Linear(t, 400, lentOut) }
func BenchmarkLent(b *testing.B)                                { growth.Benchmark(b, 400, lentOut) }

func TestNothingIsCountedForAnEmptyQueue(t *testing.T) {
	s := New(&Limits{QueuedMessages: 9, QueuedBytes: 1 << 30}, silent{})
	handed := &Message{ID: ID{Number: 7}}
	require.False(t, s.Has(handed.ID))
	s.Push(Entry{Msg: handed, QoS: 1})
	require.True(t, s.Has(handed.ID))
	lent := s.Lend(func(*Entry) bool { return true })
	require.Nil(t, s.present)
	s.Given(lent[0].Seq)
	require.Empty(t, s.lent)
}
