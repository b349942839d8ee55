package admin

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shoalmq/shoal"
)

// collector asks the broker for its figures when Prometheus does.
type collector struct{ h *Handler }

// Describe implements prometheus.Collector. Without descriptions, what is collected is checked each time.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	emit := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
	}
	f := c.h.overall(context.Background())
	c.comqtt(f, func(kind prometheus.ValueType, name, help string, value float64) { emit(kind, name, help, value) })

	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	m := c.h.cfg.Broker.Metrics()
	emit(counter, "shoal_connections_accepted_total", "Connections that were accepted.", float64(m.ConnectionsAccepted))
	emit(gauge, "shoal_connections_open", "Connections that are open.", float64(m.ConnectionsOpen))
	emit(counter, "shoal_clients_accepted_total", "Connections whose CONNECT was accepted.", float64(m.ClientsAccepted))
	emit(gauge, "shoal_sessions", "Sessions of this node.", float64(m.Sessions))
	emit(gauge, "shoal_sessions_offline", "Sessions without a connection.", float64(m.SessionsOffline))
	emit(counter, "shoal_sessions_expired_total", "Sessions that ended because their client did not come back.", float64(m.SessionsExpired))
	emit(gauge, "shoal_subscriptions", "Subscriptions of this node, a shared group counted once.", float64(m.Subscriptions))
	emit(gauge, "shoal_retained_messages", "Retained messages.", float64(m.RetainedMessages))
	emit(counter, "shoal_publish_bytes_received_total", "Bytes in PUBLISH packets from clients.", float64(m.PublishBytesReceived))
	emit(counter, "shoal_publish_bytes_sent_total", "Bytes in PUBLISH packets to clients.", float64(m.PublishBytesSent))
	emit(counter, "shoal_messages_delivered_total", "Messages to sessions of this node.", float64(m.MessagesDelivered))
	emit(counter, "shoal_messages_forwarded_total", "Messages to other nodes.", float64(m.MessagesForwarded))
	emit(counter, "shoal_messages_from_nodes_total", "Messages from other nodes.", float64(m.MessagesFromNodes))
	emit(counter, "shoal_messages_held_back_total", "Messages whose publishers were answered late because a queue was full.", float64(m.MessagesHeldBack))
	emit(gauge, "shoal_held_back", "Messages whose publishers wait because a queue is full.", float64(m.HeldBack))
	emit(gauge, "shoal_queued_bytes", "Bytes that wait in the queues of this node's sessions.", float64(m.QueuedBytes))
	emit(gauge, "shoal_retained_bytes", "Bytes of retained messages.", float64(m.RetainedBytes))
	emit(gauge, "shoal_session_subscriptions", "Subscriptions of this node's sessions, each counted.", float64(m.SessionSubscriptions))
	emit(gauge, "shoal_memory_used_bytes", "Memory of the process; 0 without a memory limit.", float64(m.MemoryUsed))
	emit(gauge, "shoal_memory_limit_bytes", "Memory from nine tenths of which on load is refused; 0 for no limit.", float64(m.MemoryLimit))
	for limit, n := range m.Refused {
		emit(counter, "shoal_refused_total", "What was refused because a limit was reached, by the limit.", float64(n), "limit", limit)
	}
	emit(counter, "shoal_drop_events_lost_total", "Events of drops that no observer was told of.", float64(m.DropEventsLost))
	for reason, n := range m.Dropped {
		emit(counter, "shoal_messages_dropped_total", "Messages that were dropped, by reason.", float64(n), "reason", string(reason))
	}
	for _, br := range c.h.cfg.Broker.Bridges() {
		emit(gauge, "shoal_bridge_state", "1, with the bridge and what it does at this node.", 1, "bridge", br.Name, "state", string(br.State))
		emit(gauge, "shoal_bridge_queued", "Messages of the bridge that wait or are not acknowledged, if its session is here.", float64(br.Queued), "bridge", br.Name)
		emit(counter, "shoal_bridge_delivered_total", "Messages that the bridge was handed.", float64(br.Delivered), "bridge", br.Name)
		emit(counter, "shoal_bridge_published_total", "Messages of the bridge that were accepted.", float64(br.Published), "bridge", br.Name)
		emit(counter, "shoal_bridge_failed_total", "Messages of the bridge that were not accepted.", float64(br.Failed), "bridge", br.Name)
		emit(counter, "shoal_bridge_restarts_total", "How often the bridge began again after an error.", float64(br.Restarts), "bridge", br.Name)
	}
	ready := 1.0
	if c.h.cfg.Ready(context.Background()) != nil {
		ready = 0
	}
	emit(gauge, "shoal_ready", "1 while the broker serves clients.", ready)
	emit(gauge, "shoal_info", "1, with the version and the node's name.", 1, "version", shoal.Version(), "node", c.h.cfg.Self)
	if c.h.cfg.Nodes != nil {
		emit(gauge, "shoal_cluster_nodes", "Nodes that are up, as this one sees them.", float64(len(c.h.cfg.Nodes())))
	}
}

// comqtt emits the metrics that comqtt has, under its names.
func (c *collector) comqtt(f figures, emit func(kind prometheus.ValueType, name, help string, value float64)) {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	emit(counter, "bytes_received", "Bytes from clients.", float64(f.BytesReceived))
	emit(counter, "bytes_sent", "Bytes to clients.", float64(f.BytesSent))
	emit(counter, "messages_received", "PUBLISH packets from clients.", float64(f.MessagesReceived))
	emit(counter, "messages_sent", "PUBLISH packets to clients.", float64(f.MessagesSent))
	emit(counter, "messages_dropped", "Messages that were dropped.", float64(f.MessagesDropped))
	emit(counter, "packets_received", "Packets from clients.", float64(f.PacketsReceived))
	emit(counter, "packets_sent", "Packets to clients.", float64(f.PacketsSent))
	emit(gauge, "clients_connected", "Sessions with a connection.", float64(f.ClientsConnected))
	emit(gauge, "clients_disconnected", "Sessions without a connection.", float64(f.ClientsDisconnected))
	emit(gauge, "clients_maximum", "The most connections that were open at the same time.", float64(f.ClientsMaximum))
	emit(gauge, "clients_total", "Sessions.", float64(f.ClientsTotal))
	emit(gauge, "retained", "Retained messages.", float64(f.Retained))
	emit(gauge, "inflight", "Messages of QoS 1 and 2 that clients have not acknowledged.", float64(f.Inflight))
	emit(gauge, "inflight_dropped", "Messages dropped from queues of sessions.", float64(f.InflightDropped))
	emit(gauge, "subscriptions", "Subscriptions.", float64(f.Subscriptions))
	emit(gauge, "memory_alloc", "Bytes of heap in use.", float64(f.MemoryAlloc))
	emit(gauge, "threads", "Goroutines.", float64(f.Threads))
}
