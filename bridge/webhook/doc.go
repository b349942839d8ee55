// Package webhook bridges a broker to an HTTP server: messages and what clients do are sent to a URL by
// POST, as JSON, in batches.
//
//	shoal.WithBridge(webhook.New(webhook.Config{
//		URL:     "https://example.org/mqtt",
//		Secret:  "…",
//		Filters: []string{"sensors/#"},
//		Events:  webhook.Events{Kinds: []string{document.KindConnected, document.KindDisconnected}},
//	}))
//
// # Requests
//
// The body of a request is a Batch. Its header has Content-Type application/json, Shoal-Bridge (the
// bridge's name), Shoal-Batch (an identifier of the batch, the same each time that the batch is sent
// again), and, if there is a Secret, Shoal-Signature: t=SECONDS,v1=HEX, with HEX the HMAC-SHA256 of the
// seconds, a dot and the body. Verify checks it, and that the request is not an old one.
//
// # What crosses, and when it is done with
//
// What matches Filters waits in the bridge's session of the broker, which is stored and replicated as
// all sessions are; so do events, wherever in the cluster they happened. It is acknowledged when the
// server has answered with a 2xx. Messages of QoS 1 and 2, and events, cross at least once: what was on
// its way when a node, the bridge or the answer was lost crosses twice, with another Shoal-Batch if the
// bridge has begun anew. Messages of QoS 0 cross while the bridge is at work, or are lost.
//
// One request is on its way at a time, so that the order of each publisher and topic is kept; Batch is
// what makes that fast. In a cluster one node bridges and the others stand by. With Config.Spread all
// nodes send at the same time, and order is kept per node.
//
// # What an answer means
//
//   - 2xx: the batch is done with.
//   - 400, 409, 413 and 422: the server will never take what is in the batch. It is halved, each half is
//     sent for itself, and so on; a single message that is answered so is refused: it is dropped, with the
//     reason refused, and what is behind it goes on.
//   - All else is tried again for ever: no answer, an answer that is late, 408, 425, 429 and 5xx, because
//     they pass; 401, 403, 404, 3xx and the other 4xx, because URL, credentials or server are
//     wrong, which is no reason to lose messages. Redirects are not followed. Between tries the bridge
//     waits from Config.RetryFirst on twice as long each time, up to RetryLongest, or as long as
//     Retry-After says, up to RetryLongest, too.
//
// While the server is away the session's queue grows, up to the broker's Limits.QueuedMessages and
// QueuedBytes; what then does not fit is dropped by the broker's policy, with the reason queue_full.
// That the server is away is logged once, and once that it is back.
package webhook
