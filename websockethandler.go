package shoal

import (
	"net"
	"net/http"

	"github.com/shoalmq/shoal/internal/listen"
)

// webSocketHandler is the name of the listener of connections that come by Broker.WebSocketHandler.
const webSocketHandler = "websocket-handler"

// WithWebSocketOrigins lets only pages of these origins connect by WebSocket, besides those of the host that they connect to. Each is a pattern of path.Match
// for the host of the page, such as "*.example.org", or for its scheme and host, such as "https://app.example.org". Programs, which name no page, are let in.
// Default: pages of all origins, since MQTT has credentials of its own, and browsers add none.
func WithWebSocketOrigins(patterns ...string) Option {
	return func(c *config) { c.origins = append(c.origins, patterns...) }
}

// WebSocketHandler returns a handler of MQTT over WebSocket, for a server of the program's own, under any path. It may be taken before Start; it answers 503 when the
// broker does not run. A request's goroutine serves its connection until that ends, also after http.Server.Shutdown, which does not know of it;
// Broker.Shutdown ends it. The server has HTTP/1.1 to itself to upgrade (HTTP/2 cannot be), should have a ReadHeaderTimeout, and bounds how many
// connections there are that were not upgraded; from then on Limits.ConnectTimeout holds. For limits and durabilities the listener
// is called "websocket-handler".
func (b *Broker) WebSocketHandler() http.Handler {
	upgrade := listen.Upgrade(b.cfg.origins, func(c net.Conn) bool {
		if b.running() != nil {
			return false
		}
		b.serve(c, webSocketHandler, false)
		return true
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.running() != nil {
			http.Error(w, "the broker does not run", http.StatusServiceUnavailable)
			return
		}
		upgrade.ServeHTTP(w, r)
	})
}

// webSocketOptions are those of the broker's own WebSocket listeners: what a connection may take before it is upgraded is what it may take before its CONNECT.
func (c *config) webSocketOptions() listen.WebSocketOptions {
	limits := c.limits
	limits.setDefaults()
	return listen.WebSocketOptions{
		Origins: c.origins, Timeout: limits.ConnectTimeout, Young: c.connLimits.Broker.Open, YoungPerHost: c.connLimits.Address.Open,
	}
}
