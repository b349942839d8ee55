// Package admin is what a broker tells of itself by HTTP, as an http.Handler: health, metrics for Prometheus, the figures that comqtt's API has, and a
// page that shows them for all nodes. It changes nothing.
//
//	h, err := admin.New(admin.Config{Broker: b, Token: token})
//	http.ListenAndServe("127.0.0.1:8080", h)
//
//	GET /livez                        200 while the process answers
//	GET /readyz                       200 while the broker serves clients, 503 and the reason otherwise
//	GET /metrics                      Prometheus: comqtt's 17 names, and further ones that begin with shoal_
//	GET /api/v1/mqtt/stat/overall     all figures of this node
//	GET /api/v1/mqtt/stat/online      how many clients are connected to this node
//	GET /api/v1/cluster/nodes         the nodes that are up
//	GET /api/v1/cluster/stat/overall  the figures of all nodes, and the same for online: [{"url", "data", "err"}]; data is the JSON of a node, as a string
//	GET /                             the page; it loads nothing from elsewhere
//
// Everybody may ask for /livez and /readyz. The rest is for those who show the token ("Authorization: Bearer …"), or are a user, by HTTP Basic
// authentication. Without a token and without users it is for this machine: for connections from a loopback address that name a loopback
// address as their host, so that no page of others in a browser here can ask. The nodes of a cluster ask each other, with the token, which is then the same for all.
package admin
