package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// validate checks what can be checked without looking at anything but the Config.
func (l *Loaded) validate() error {
	v := &validator{l: l}
	v.oneOf("storage-way", l.StorageWay, 0, 3)
	v.oneOf("bridge-way", l.BridgeWay, BridgeNone, BridgeToWebhook)
	v.oneOf("auth.way", l.Auth.Way, 0, 2)
	v.oneOf("auth.datasource", l.Auth.Datasource, 0, 5)
	v.oneOf("log.output", l.Log.Output, 0, 2)
	v.oneOf("log.env", l.Log.Env, 0, 1)
	v.oneOf("log.zerolog-level", l.Log.ZeroLevel, -1, 7)
	v.oneOf("mqtt.options.capabilities.maximum-qos", l.MQTT.Options.Capabilities.MaximumQoS, 0, 2)
	v.oneOf("mqtt.options.capabilities.minimum-protocol-version", l.MQTT.Options.Capabilities.MinimumProtocolVersion, 3, 5)
	v.word("log.format", l.Log.Format, "", "0", "1", "text", "json", "console")
	v.word("limits.when-full", l.Limits.WhenFull, "", "wait", "drop-newest", "drop-oldest")
	v.word("durability", l.Durability, "", "memory", "quorum", "fsync")
	v.word("cluster.raft-log-level", strings.ToLower(l.Cluster.RaftLogLevel), "", "debug", "info", "warn", "error")
	if _, err := l.LogLevel(); err != nil {
		v.bad("log.level", "%v", err)
	}
	if _, err := parseBytes(l.Limits.Memory); err != nil && l.Limits.Memory != MemoryAuto {
		v.bad("limits.memory", "%v", err)
	}
	if l.Limits.PerTenant != (Total{}) && l.Limits.TenantSeparator == "" {
		v.bad("limits.tenant-separator", "is missing; limits.per-tenant needs it to know the tenant of a user")
	}
	v.url()
	v.auth()
	v.listeners()
	if l.Program.Cluster && l.IsNode() {
		v.cluster()
	}
	return errors.Join(v.errs...)
}

type validator struct {
	l    *Loaded
	errs []error
}

func (v *validator) bad(path, format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("%s: %s", v.l.GivenBy(path), fmt.Sprintf(format, args...)))
}

func (v *validator) oneOf(path string, n, from, to int) {
	if n < from || n > to {
		v.bad(path, "%d is none of %d to %d", n, from, to)
	}
}

func (v *validator) word(path, word string, words ...string) {
	if !slices.Contains(words, word) {
		v.bad(path, "%q is none of %s", word, strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", "))
	}
}

func (v *validator) url() {
	l := v.l
	if l.StorageURL == "" {
		return
	}
	scheme, _, ok := strings.Cut(l.StorageURL, "://")
	if !ok || !slices.Contains([]string{"redis", "rediss", "unix"}, scheme) {
		v.bad("storage-url", "%q is no URL of a Redis, such as redis://127.0.0.1:6379/0", l.StorageURL)
	}
	if l.Given("storage-way") && l.StorageWay != 3 {
		v.bad("storage-way", "it is %d, and %s means 3; give one of them", l.StorageWay, l.GivenBy("storage-url"))
	}
}

func (v *validator) auth() {
	a := v.l.Auth
	switch {
	case a.Way == 0:
	case a.Datasource == 0 && a.BlacklistPath == "":
		v.bad("auth.datasource", "it is 0, and %s asks for authentication: nobody could connect; choose 1 to 5", v.l.GivenBy("auth.way"))
	case a.Datasource != 0 && a.ConfPath == "":
		v.bad("auth.conf-path", "the file of the datasource is missing")
	}
}

func (v *validator) listeners() {
	l := v.l
	for _, a := range []struct {
		path  string
		value *string
	}{{"mqtt.tcp", &l.MQTT.TCP}, {"mqtt.ws", &l.MQTT.WS}, {"mqtt.http", &l.MQTT.HTTP}, {"mqtt.quic", &l.MQTT.QUIC}} {
		v.address(a.path, a.value)
	}
	if l.MQTT.TCP == "" && l.MQTT.WS == "" && l.MQTT.QUIC == "" && len(l.Listeners) == 0 {
		v.errs = append(v.errs, errors.New("-tcp and -ws are both empty: clients could not connect; give at least one an address, such as :1883"))
	}
	v.tls("mqtt.tls", l.MQTT.TLS, false)
	for i, listener := range l.Listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		scheme, rest, ok := strings.Cut(listener.Address, "://")
		if !ok || rest == "" || !slices.Contains([]string{"tcp", "tls", "ws", "wss", "unix", "quic"}, scheme) {
			v.bad(path+".address", "%q is no URL that begins with tcp, tls, ws, wss, unix or quic and ://", listener.Address)
			continue
		}
		v.tls(path+".tls", listener.TLS, slices.Contains([]string{"tls", "wss"}, scheme) && l.MQTT.TLS.ServerCert == "")
		for _, trusted := range listener.TrustedProxies {
			if _, err := netip.ParsePrefix(trusted); err != nil {
				if _, err := netip.ParseAddr(trusted); err != nil {
					v.bad(path+".trusted-proxies", "%q is neither an address nor a network such as 10.0.0.0/8", trusted)
				}
			}
		}
	}
}

func (v *validator) tls(path string, t TLS, needed bool) {
	switch {
	case (t.ServerCert == "") != (t.ServerKey == ""):
		v.bad(path+".server-cert", "it and server-key belong together, and one of them is missing")
	case needed && t.ServerCert == "":
		v.bad(path+".server-cert", "this listener needs a certificate")
	case t.CACert != "" && t.ServerCert == "":
		v.bad(path+".ca-cert", "clients are asked for certificates, and there is no server-cert")
	}
}

// address reads "1883" as ":1883". What has no port, or none that can be used, is an error.
func (v *validator) address(path string, value *string) {
	if *value == "" {
		return
	}
	full := *value
	if !strings.Contains(full, ":") {
		full = ":" + full
	}
	_, port, err := net.SplitHostPort(full)
	n, perr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || perr != nil:
		v.bad(path, "%q is not an address; write it as \":1883\" or \"192.0.2.1:1883\"", *value)
	case n == 0:
		v.bad(path, "%q has no port; use 1 to 65535", *value)
	}
	*value = full
}
