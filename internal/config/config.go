package config

import "time"

// Config is what a program is told. The tags of a field are:
//
//	key      its key in the file
//	flag     its flag, if it has one; "flag2" is an older name of it
//	default  its default, as a flag would give it
//	is       what kind of value it is: path, secret
//	only     the program that has it, cluster or single; both if it is empty
//	doc      what it means
type Config struct {
	DataDir      string         `key:"data-dir" flag:"data-dir" is:"dir" doc:"directory for data; without it, and without -storage-way, data is temporary and removed at the end"`
	StorageWay   int            `key:"storage-way" flag:"storage-way" default:"1" doc:"0 memory, 1 embedded (bolt; in a cluster the replicated log on disk), 2 embedded (badger; in a cluster as 1), 3 Redis"`
	StoragePath  string         `key:"storage-path" flag:"storage-path" is:"dir" only:"single" doc:"file of bolt, or directory of badger (default DATA-DIR/mqtt.db, DATA-DIR/badger)"`
	StorageURL   string         `key:"storage-url" flag:"storage" is:"secret" doc:"URL of a Redis, as package storage/redis has it, in place of redis.options; means -storage-way 3"`
	Durability   string         `key:"durability" flag:"durability" doc:"what has a message for a lasting session before it is acknowledged: memory, quorum or fsync (default quorum in a cluster)"`
	DrainTimeout time.Duration  `key:"drain-timeout" flag:"drain-timeout" default:"20s" doc:"how long stopping may take"`
	Leave        bool           `key:"leave" flag:"leave" only:"cluster" doc:"leave the cluster for good when the program is stopped"`
	BridgeWay    int            `key:"bridge-way" doc:"0 none, 1 Kafka, 2 a webhook"`
	BridgePath   string         `key:"bridge-path" is:"path" doc:"file that says what is bridged, and where to"`
	PprofEnable  bool           `key:"pprof-enable" flag:"pprof" doc:"serve profiles on 127.0.0.1:6060"`
	Dashboard    bool           `key:"dashboard-enable" default:"true" doc:"serve the page of the info listener"`
	DashboardCfg DashboardUsers `key:"dashboard"`
	Auth         Auth           `key:"auth"`
	Cluster      Cluster        `key:"cluster" only:"cluster"`
	MQTT         MQTT           `key:"mqtt"`
	Listeners    []Listener     `key:"listeners" doc:"further listeners"`
	Limits       Limits         `key:"limits"`
	Customs      Customs        `key:"customs"`
	Redis        Redis          `key:"redis"`
	Log          Log            `key:"log"`
}

// DashboardUsers says who may use the info listener's page.
type DashboardUsers struct {
	SecretFile string `key:"secret-file" is:"path" doc:"file with a token that the info listener asks for, as token-file of mqtt.info"`
	UsersFile  string `key:"users-file" is:"optional-path" doc:"JSON file of users with bcrypt hashes; they may read the info listener by HTTP Basic authentication"`
}

// Auth says who may connect and what they may do.
type Auth struct {
	Way           int    `key:"way" flag:"auth-way" doc:"0 anonymous, 1 user name and password, 2 client ID"`
	Datasource    int    `key:"datasource" flag:"auth-ds" doc:"0 none, 1 Redis, 2 MySQL, 3 PostgreSQL, 4 HTTP, 5 file (format of package auth/file)"`
	ConfPath      string `key:"conf-path" flag:"auth-path" is:"path" doc:"file of the datasource"`
	BlacklistPath string `key:"blacklist-path" is:"path" doc:"file of special rules in front of the datasource; not for anonymous authentication"`
}

// Cluster is the node's place in its cluster.
type Cluster struct {
	NodeName      string   `key:"node-name" flag:"node-name" doc:"name of the node, unique in the cluster and the same over restarts"`
	BindAddr      string   `key:"bind-addr" flag:"bind-ip" default:"127.0.0.1" doc:"address for gossip, raft and gRPC between nodes; not for clients, see -tcp and -ws"`
	BindPort      int      `key:"bind-port" flag:"gossip-port" default:"7946" doc:"port by which nodes find each other"`
	AdvertiseAddr string   `key:"advertise-addr" flag:"advertise" doc:"address that other nodes are told (default: bind-addr; if that is 0.0.0.0, the one from which the members are reached)"`
	AdvertisePort int      `key:"advertise-port" doc:"must be bind-port if it is given"`
	Members       []string `key:"members" flag:"members" doc:"gossip addresses of nodes to join, with commas between; one that is up is enough, and this node's own may be among them"`
	RaftPort      int      `key:"raft-port" flag:"raft-port" doc:"port of raft (default: the gossip port + 1000, which is 8946)"`
	RaftDir       string   `key:"raft-dir" flag:"raft-dir" is:"dir" doc:"directory of the replicated log (default DATA-DIR/NODE-NAME/raft)"`
	RaftBootstrap bool     `key:"raft-bootstrap" flag:"raft-bootstrap" doc:"begin a cluster if there is none to join; for exactly one node"`
	RaftExpect    int      `key:"raft-expect" flag:"raft-expect" doc:"instead of -raft-bootstrap: begin a cluster when so many nodes that expect as many see each other; the same for all of them"`
	RaftLogLevel  string   `key:"raft-log-level" flag:"raft-log-level" default:"error" doc:"debug shows raft's and gossip's chatter in the log of that level"`
	GRPCEnable    bool     `key:"grpc-enable" flag:"grpc-enable" doc:"send raft's traffic through the gRPC port, too; -raft-port is then not opened"`
	GRPCPort      int      `key:"grpc-port" flag:"grpc-port" doc:"port of gRPC, which carries messages between nodes (default: the gossip port + 10000, which is 17946)"`
	Proxy         string   `key:"proxy" flag:"node-proxy" doc:"address of an HTTP proxy for the connections to other nodes; not for gossip's packets"`
	Voters        int      `key:"voters" doc:"how many nodes decide by majority, an odd number (default 5)"`
	TLS           NodeTLS  `key:"tls"`
	GossipKeyFile string   `key:"gossip-key-file" is:"path" doc:"file with the keys of gossip, base64, one a line; the first encrypts"`
}

// NodeTLS secures the streams between nodes.
type NodeTLS struct {
	Cert       string `key:"cert" is:"path" doc:"certificate of the node, for servers and clients"`
	Key        string `key:"key" is:"path" doc:"its key"`
	CA         string `key:"ca" is:"path" doc:"certificates of those that sign nodes"`
	ServerName string `key:"server-name" doc:"name that all nodes' certificates are made out to"`
}

// MQTT is what clients see.
type MQTT struct {
	TCP       string   `key:"tcp" flag:"tcp" default:":1883" doc:"address for MQTT clients over TCP, or TLS if mqtt.tls has a certificate; empty is none"`
	WS        string   `key:"ws" flag:"ws" default:":1882" doc:"address for MQTT clients over WebSocket, path /mqtt; empty is none"`
	HTTP      string   `key:"http" flag:"http" default:":8080" doc:"address of the info listener: /livez, /readyz, /metrics, /api/v1/…; empty is none"`
	WSOrigins []string `key:"ws-origins" doc:"origins of pages that may connect by WebSocket, such as *.example.org; all if there is none"`
	QUIC      string   `key:"quic" flag:"quic" doc:"address for MQTT clients over QUIC; without a certificate one is made for localhost (default: none)"`
	Info      Info     `key:"info"`
	TLS       TLS      `key:"tls"`
	Options   Options  `key:"options"`
}

// Info says who may read the info listener.
type Info struct {
	Token     string `key:"token" is:"secret" doc:"token that has to come as Authorization: Bearer; without one, only this machine is answered"`
	TokenFile string `key:"token-file" is:"path" doc:"file with the token"`
}

// TLS is a listener's.
type TLS struct {
	CACert     string `key:"ca-cert" is:"path" doc:"certificates of those that sign clients; clients must show one then"`
	ServerCert string `key:"server-cert" is:"path" doc:"certificate; renewed when the file changes"`
	ServerKey  string `key:"server-key" is:"path" doc:"its key"`
	ZeroRTT    bool   `key:"zero-rtt" doc:"let QUIC clients that come back send at once; what they send can be repeated by others"`
}

// Listener is one more listener.
type Listener struct {
	Address        string   `key:"address" doc:"URL: tcp://, tls://, ws://, wss://, unix:// or quic://"`
	TLS            TLS      `key:"tls"`
	TrustedProxies []string `key:"trusted-proxies" doc:"addresses or networks from which a PROXY protocol header is expected, and believed; others have none"`
}

// Options are the broker's, as comqtt's files have them.
type Options struct {
	SysTopicResendInterval int          `key:"sys-topic-resend-interval" default:"10" doc:"seconds between publishes of the $SYS tree"`
	Capabilities           Capabilities `key:"capabilities"`
}

// Capabilities are what clients may use. A key that is absent has the default below, also if others are there.
type Capabilities struct {
	MaximumSessionExpiryInterval uint32 `key:"maximum-session-expiry-interval" default:"4294967295" doc:"seconds that a session without connection is kept at most"`
	MaximumPacketSize            uint32 `key:"maximum-packet-size" doc:"bytes of the largest packet; 0 is 64 MiB"`
	ReceiveMaximum               uint16 `key:"receive-maximum" default:"1024" doc:"QoS 1 and 2 messages that a client may send without an answer"`
	TopicAliasMaximum            uint16 `key:"topic-alias-maximum" default:"1024" doc:"topic aliases that a client may use; 0 is none"`
	MaximumQoS                   int    `key:"maximum-qos" default:"2" doc:"0, 1 or 2"`
	RetainAvailable              bool   `key:"retain-available" default:"1" doc:"0 refuses retained messages"`
	WildcardSubAvailable         bool   `key:"wildcard-sub-available" default:"1" doc:"0 refuses wildcards in subscriptions"`
	SubIDAvailable               bool   `key:"sub-id-available" default:"1" doc:"0 refuses Subscription Identifiers"`
	SharedSubAvailable           bool   `key:"shared-sub-available" default:"1" doc:"0 refuses shared subscriptions"`
	MinimumProtocolVersion       int    `key:"minimum-protocol-version" default:"3" doc:"3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0"`
}

// Limits bound what clients may take. Zero is the broker's default.
type Limits struct {
	InFlight           uint16        `key:"in-flight" doc:"QoS 1 and 2 messages that are sent to a client without an answer"`
	InFlightBytes      int           `key:"in-flight-bytes" doc:"bytes of such messages, besides; one is sent whatever its size"`
	QueuedMessages     int           `key:"queued-messages" doc:"messages that wait for one client"`
	QueuedBytes        int           `key:"queued-bytes" doc:"bytes that wait for one client"`
	WhenFull           string        `key:"when-full" default:"wait" doc:"what a full queue does: wait (hold publishers back while the client gets on), drop-newest or drop-oldest"`
	ConnectTimeout     time.Duration `key:"connect-timeout" doc:"time for a CONNECT to arrive"`
	WriteTimeout       time.Duration `key:"write-timeout" doc:"time in which a connection takes something of what is written"`
	KeepAliveMaximum   uint16        `key:"keep-alive-maximum" doc:"seconds of the longest Keep Alive"`
	Subscriptions      int           `key:"subscriptions" doc:"subscriptions of one session"`
	Connections        int           `key:"connections" doc:"open connections of this node"`
	ConnectionsPerIP   int           `key:"connections-per-ip" doc:"open connections from one address"`
	PublishesPerClient float64       `key:"publishes-per-client" doc:"messages a second from one connection"`
	TopicLevels        int           `key:"topic-levels" doc:"levels of a topic or a filter"`
	TopicLength        int           `key:"topic-length" doc:"bytes of a topic or a filter"`
	UserProperties     int           `key:"user-properties" doc:"User Properties of one packet; 0 is 1,000"`
	Memory             string        `key:"memory" default:"auto" doc:"memory in use from which on load is refused, as 512MiB; auto is nine tenths of what the container has; 0 is no limit"`
	Total              Total         `key:"total"`
	PerTenant          Total         `key:"per-tenant"`
	TenantSeparator    string        `key:"tenant-separator" doc:"what a user name has between its tenant and the rest, such as a slash, for per-tenant"`
}

// Total bounds what all clients take together, or those of each tenant.
type Total struct {
	Sessions         int `key:"sessions" doc:"sessions, those without a connection included; 0 is no limit"`
	Subscriptions    int `key:"subscriptions" doc:"subscriptions of all sessions; 0 is no limit"`
	QueuedBytes      int `key:"queued-bytes" doc:"bytes that wait in all queues; 0 is no limit"`
	RetainedMessages int `key:"retained-messages" doc:"retained messages; 0 is no limit"`
	RetainedBytes    int `key:"retained-bytes" doc:"bytes of topics and payloads of retained messages; 0 is no limit"`
}

// Customs are what clients of other brokers may count on.
type Customs struct {
	UpgradeOutgoingQoS bool   `key:"upgrade-outgoing-qos" doc:"deliver with the QoS of the subscription, also what was published with less"`
	NoWillOnTakeover   bool   `key:"no-will-on-takeover" doc:"publish no will of a connection that ends because its client connects again"`
	CheckRetainSource  bool   `key:"check-retain-source" doc:"send a retained message to a new subscriber only if its publisher may still publish it"`
	AutoIDPrefix       string `key:"auto-id-prefix" default:"auto-" doc:"how client identifiers begin that are assigned"`
}

// Redis is the store of storage-way 3.
type Redis struct {
	Options RedisOptions `key:"options"`
	Prefix  string       `key:"prefix" default:"shoal" doc:"what all keys in Redis begin with"`
}

// RedisOptions say where it is.
type RedisOptions struct {
	Addr         string `key:"addr" flag:"redis" default:"127.0.0.1:6379" doc:"address of Redis"`
	Username     string `key:"username" doc:"user name at Redis"`
	Password     string `key:"password" flag:"redis-pass" is:"secret" doc:"password at Redis"`
	PasswordFile string `key:"password-file" is:"path" doc:"file with that password"`
	DB           int    `key:"db" flag:"redis-db" doc:"number of the database"`
}

// Log says where the log goes.
type Log struct {
	Enable     bool   `key:"enable" flag:"log-enable" default:"true" doc:"whether anything is logged"`
	Format     string `key:"format" flag:"log-format" doc:"0 or text, 1 or json, console (default: console, and text in files)"`
	Output     int    `key:"output" flag:"log-output" doc:"0 console, 1 file, 2 both"`
	Level      string `key:"level" flag:"log-level" default:"info" doc:"debug, info, warn or error; or a number, as of slog: -4, 0, 4, 8"`
	Filename   string `key:"filename" flag:"log-file" default:"./logs/shoal.log" is:"dir" doc:"file for the log, with -log-output 1 or 2"`
	MaxSize    int    `key:"maxsize" default:"100" doc:"megabytes of a file before it is rotated"`
	MaxAge     int    `key:"max-age" key2:"maxage" doc:"days that rotated files are kept; 0 is for ever"`
	MaxBackups int    `key:"max-backups" key2:"maxbackups" doc:"how many rotated files are kept; 0 is all"`
	Compress   bool   `key:"compress" doc:"compress rotated files"`
	InfoFile   string `key:"info-file" flag:"info-file" is:"dir" doc:"file for what is below error, besides"`
	ErrorFile  string `key:"error-file" flag:"error-file" is:"dir" doc:"file for errors, besides"`
	Env        int    `key:"env" flag:"env" doc:"0 development: console; 1 production: JSON"`
	ZeroLevel  int    `key:"zerolog-level" flag:"level" default:"1" doc:"older form of -log-level: 0 debug, 1 info, 2 warn, 3 error, 4 to 7 nothing below error"`
}
