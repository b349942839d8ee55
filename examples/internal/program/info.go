package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/admin"
	"github.com/shoalmq/shoal/auth/password"
)

// infoServers are the info listener, and that of profiles.
type infoServers struct{ servers []*http.Server }

// InfoAddress is where the info listener is going to be, "" for none.
func (a *App) InfoAddress() string {
	if a.MQTT.HTTP == "" {
		return ""
	}
	return hostFor(a.Loaded, "mqtt.http", a.MQTT.HTTP)
}

// startInfo starts the info listener. A broker serves without it, too: what is wrong is said, and no more.
func (a *App) startInfo(cfg admin.Config) (*infoServers, error) {
	i := new(infoServers)
	if a.PprofEnable {
		mux := http.NewServeMux()
		for path, fn := range map[string]http.HandlerFunc{
			"/debug/pprof/": pprof.Index, "/debug/pprof/cmdline": pprof.Cmdline, "/debug/pprof/profile": pprof.Profile, "/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
		} {
			mux.HandleFunc(path, fn)
		}
		a.listenHTTP(i, net.JoinHostPort(Loopback, "6060"), mux, "profiles", "pprof-enable")
	}
	address := a.InfoAddress()
	if address == "" {
		return i, nil
	}
	cfg.Token, cfg.NoPage = a.MQTT.Info.Token, !a.Dashboard
	users, err := dashboardUsers(a.DashboardCfg.UsersFile)
	if err != nil {
		return i, err
	}
	if len(users) > 0 {
		cfg.User = func(name, pw string) bool { return users[name] != nil && users[name].Verify([]byte(pw)) }
	}
	handler, err := admin.New(cfg)
	if err != nil {
		return i, err
	}
	a.listenHTTP(i, address, handler, "http", "mqtt.http")
	return i, nil
}

func (a *App) listenHTTP(i *infoServers, address string, h http.Handler, protocol, path string) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && !a.Given(path):
		a.Log.Warn("no info listener: its default address is in use by another program; -http gives it another", "address", address)
	case errors.Is(err, syscall.EADDRINUSE):
		a.Log.Error("no info listener: the address is already in use by another program; serving without it", "address", address, "given_by", a.GivenBy(path))
	case err != nil:
		a.Log.Error("no info listener; serving without it", "address", address, "given_by", a.GivenBy(path), "error", err)
	default:
		a.Log.Info("attached listener", "address", l.Addr().String(), "protocol", protocol)
		s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
		i.servers = append(i.servers, s)
		go func() { _ = s.Serve(l) }() // ends by stop
	}
}

func (i *infoServers) stop(ctx context.Context) {
	for _, s := range i.servers {
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
	}
}

// shippedHash is that of admin's password in comqtt's files, which is "admin".
const shippedHash = "$2a$10$o8uup1NqG7xPsKyBeoILq.7aBHE/KNdNccMtSTwpf2dsHH4VfkXVO"

// dashboardUsers reads the users of comqtt's dashboard-users.json. Those that everybody knows the password of are not let in.
func dashboardUsers(path string) (map[string]*password.Hash, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []struct {
		Username string `json:"username"`
		Hash     string `json:"hash"`
		Role     string `json:"role"`
	}
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	users := make(map[string]*password.Hash)
	for _, u := range list {
		if u.Hash == shippedHash || u.Role != "admin" {
			continue
		}
		hash, err := password.Parse(u.Hash)
		if err != nil {
			return nil, fmt.Errorf("%s: user %s: %w", path, u.Username, err)
		}
		users[u.Username] = hash
	}
	return users, nil
}

// Attributes are what other nodes are told of this one, to ask for its figures.
func (a *App) Attributes(advertised string) map[string]string {
	attributes := map[string]string{attributeGossip: fmt.Sprint(a.Cluster.BindPort)}
	if address := a.InfoAddress(); address != "" {
		host, port, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
			host = advertised
		}
		attributes[attributeInfo] = "http://" + net.JoinHostPort(host, port)
	}
	return attributes
}

const (
	attributeInfo   = "info"
	attributeGossip = "gossip"
)

// Nodes are the nodes of a cluster for the API.
func Nodes(nodes []shoal.Node) []admin.Node {
	list := make([]admin.Node, 0, len(nodes))
	for _, n := range nodes {
		host, grpc, _ := net.SplitHostPort(n.Attributes["peer"])
		_, raft, _ := net.SplitHostPort(n.Attributes["raft"])
		url := n.Attributes[attributeInfo]
		_, httpPort, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
		node := admin.Node{Name: n.Name, Addr: host, URL: url, Tags: map[string]string{"raft-port": raft, "grpc-port": grpc, "http-port": httpPort}}
		_, _ = fmt.Sscan(n.Attributes[attributeGossip], &node.Port) // 0 if it has not said so
		list = append(list, node)
	}
	return list
}
