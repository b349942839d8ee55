package admin

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"github.com/shoalmq/shoal"
)

// figures are what comqtt's API calls overall: the names are its.
type figures struct {
	Version             string `json:"version"`
	Started             int64  `json:"started"`
	Time                int64  `json:"time"`
	Uptime              int64  `json:"uptime"`
	BytesReceived       uint64 `json:"bytes_received"`
	BytesSent           uint64 `json:"bytes_sent"`
	ClientsConnected    int    `json:"clients_connected"`
	ClientsDisconnected int    `json:"clients_disconnected"`
	ClientsMaximum      int    `json:"clients_maximum"`
	ClientsTotal        int    `json:"clients_total"`
	MessagesReceived    uint64 `json:"messages_received"`
	MessagesSent        uint64 `json:"messages_sent"`
	MessagesDropped     uint64 `json:"messages_dropped"`
	Retained            int    `json:"retained"`
	Inflight            int    `json:"inflight"`
	InflightDropped     uint64 `json:"inflight_dropped"`
	Subscriptions       int    `json:"subscriptions"`
	PacketsReceived     uint64 `json:"packets_received"`
	PacketsSent         uint64 `json:"packets_sent"`
	MemoryAlloc         uint64 `json:"memory_alloc"`
	Threads             int    `json:"threads"`
}

func online(m shoal.Metrics) int { return m.Sessions - m.SessionsOffline }

func (h *Handler) overall(ctx context.Context) figures {
	m := h.cfg.Broker.Metrics()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	now := time.Now()
	f := figures{
		Version: shoal.Version(), Started: h.started.Unix(), Time: now.Unix(), Uptime: int64(now.Sub(h.started).Seconds()),
		BytesReceived: m.BytesReceived, BytesSent: m.BytesSent,
		ClientsConnected: online(m), ClientsDisconnected: m.SessionsOffline, ClientsMaximum: m.ConnectionsMaximum, ClientsTotal: m.Sessions,
		MessagesReceived: m.MessagesReceived, MessagesSent: m.PublishesSent, Retained: m.RetainedMessages, Subscriptions: m.Subscriptions,
		PacketsReceived: m.PacketsReceived, PacketsSent: m.PacketsSent,
		Inflight:    h.inFlight(ctx),
		MemoryAlloc: memory.HeapInuse, Threads: runtime.NumGoroutine(),
	}
	for reason, n := range m.Dropped {
		f.MessagesDropped += n
		if reason == shoal.DropQueueFull || reason == shoal.DropSessionEnded || reason == shoal.DropRefused {
			f.InflightDropped += n
		}
	}
	return f
}

// inFlight asks the $SYS tree, which counts when somebody asks. It is 0 if the tree is off.
func (h *Handler) inFlight(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := h.cfg.Broker.Subscribe(ctx, []string{"$SYS/broker/messages/inflight"}, shoal.SubscribeOptions{})
	if err != nil {
		return 0
	}
	defer func() { _ = s.Close() }()
	message, err := s.Next(ctx)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(string(message.Payload))
	if err != nil {
		return 0
	}
	return n
}
