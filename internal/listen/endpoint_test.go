package listen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for url, want := range map[string]Endpoint{
		"tcp://127.0.0.1:1883":     {Network: "tcp", Address: "127.0.0.1:1883"},
		"mqtt://:1883":             {Network: "tcp", Address: ":1883"},
		"tcp://[::1]:0":            {Network: "tcp", Address: "[::1]:0"},
		"tcp://localhost:1/":       {Network: "tcp", Address: "localhost:1"},
		"tls://:8883":              {Network: "tcp", Address: ":8883", TLS: true},
		"mqtts://:8883":            {Network: "tcp", Address: ":8883", TLS: true},
		"ws://:8080":               {Network: "tcp", Address: ":8080", WebSocket: true, Path: "/mqtt"},
		"ws://:8080/":              {Network: "tcp", Address: ":8080", WebSocket: true, Path: "/"},
		"ws://:8080/{path...}":     {Network: "tcp", Address: ":8080", WebSocket: true, Path: "/{path...}"},
		"ws://:8080/a/b":           {Network: "tcp", Address: ":8080", WebSocket: true, Path: "/a/b"},
		"wss://example.org:443/x":  {Network: "tcp", Address: "example.org:443", WebSocket: true, TLS: true, Path: "/x"},
		"unix:///run/shoal.sock":   {Network: "unix", Address: "/run/shoal.sock"},
		"unix://relative.sock":     {Network: "unix", Address: "relative.sock"},
		"unix://a/relative/b.sock": {Network: "unix", Address: "a/relative/b.sock"},
	} {
		want.URL = url
		got, err := Parse(url)
		require.NoError(t, err, url)
		require.Equal(t, want, got)
	}
}

func TestParseRefuses(t *testing.T) {
	for url, problem := range map[string]string{
		"":                         "scheme",
		"127.0.0.1:1883":           "",
		":1883":                    "",
		"localhost:1883":           "scheme",
		"http://localhost:80":      "scheme",
		"quic://localhost:80":      "scheme",
		"tcp://":                   "port",
		"tcp://localhost":          "port",
		"tcp://localhost:":         "port",
		"tcp://1883":               "port",
		"tcp://localhost:1883/a":   "path",
		"tls://localhost:1883/a/b": "path",
		"ws://localhost:80/{a":     "no path",
		"ws://localhost:80/{a}{b}": "no path",
		"ws://localhost:80/a b":    "no path",
		"unix://":                  "path",
		"tcp://host:99x":           "",
		"tcp://%zz:1":              "",
	} {
		_, err := Parse(url)
		require.ErrorContains(t, err, problem, "%q", url)
	}
	_, err := Parse("http://localhost:80")
	require.ErrorIs(t, err, ErrScheme)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"tcp://127.0.0.1:1883", "ws://:80/a", "unix:///x", "tls://[::1]:1", "://", "tcp://a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Parse(s)
		if err != nil {
			require.Zero(t, e)
			return
		}
		require.Equal(t, s, e.URL)
		require.NotEmpty(t, e.Address)
		require.Equal(t, e.WebSocket, e.Path != "")
	})
}
