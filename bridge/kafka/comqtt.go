package kafka

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoalmq/shoal"
)

// comqttEvent is the value of a record as comqtt's bridge writes it, field by field in its order.
type comqttEvent struct {
	Action          string   `json:"action"`
	ClientID        string   `json:"clientid"`
	UserName        string   `json:"username"`
	Remote          string   `json:"remote,omitempty"`
	Listener        string   `json:"listener,omitempty"`
	Topics          []string `json:"topics,omitempty"`
	Payload         []byte   `json:"payload,omitempty"`
	ProtocolVersion byte     `json:"protocolVersion,omitempty"`
	Clean           bool     `json:"clean,omitempty"`
	Timestamp       int64    `json:"ts"`
	PacketID        uint16   `json:"packetid,omitempty"`
}

func comqttAbout(action string, c *shoal.ClientInfo, now int64) comqttEvent {
	e := comqttEvent{Action: action, ClientID: c.ClientID, Timestamp: now}
	if c.Principal != nil {
		e.UserName = c.Principal.Name
	}
	return e
}

// comqttListener is what comqtt calls a listener: by its kind.
func comqttListener(listener string) string {
	kind, _, _ := strings.Cut(listener, "://")
	switch kind {
	case "tls":
		return "tcp"
	case "wss":
		return "ws"
	}
	return kind
}

func (b *Bridge) emitConnect(ev *shoal.ConnectedEvent) {
	now := time.Now().Unix()
	e := comqttAbout("connect", &ev.Client, now)
	if ev.Client.RemoteAddr != nil {
		e.Remote = ev.Client.RemoteAddr.String()
	}
	e.Listener, e.Clean, e.ProtocolVersion = comqttListener(ev.Client.Listener), ev.CleanStart, byte(ev.Client.Version)
	b.emit(fmt.Sprintf("%s-%d", e.ClientID, now), e)
}

func (b *Bridge) emitDisconnect(ev *shoal.DisconnectedEvent) {
	now := time.Now().Unix()
	e := comqttAbout("disconnect", &ev.Client, now)
	if ev.Err != nil {
		e.Payload = []byte(ev.Err.Error())
	}
	b.emit(fmt.Sprintf("%s-%d", e.ClientID, now), e)
}

func (b *Bridge) emitFilters(action string, c *shoal.ClientInfo, id uint16, filters []string) {
	now := time.Now().Unix()
	e := comqttAbout(action, c, now)
	e.Topics = filters
	b.emit(fmt.Sprintf("%d-%d", id, now), e)
}

func comqttPublish(c *shoal.ClientInfo, m *shoal.Message, id uint16, now int64) (key string, value any) {
	e := comqttAbout("publish", c, now)
	e.Topics, e.Payload, e.PacketID = []string{m.TopicName}, m.Payload, id
	return fmt.Sprintf("%d-%d", id, now), e
}
