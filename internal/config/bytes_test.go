package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumbersOfBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "100": 100, "100B": 100, "512MiB": 512 << 20, "2GiB": 2 << 30, "1KiB": 1024, "3TiB": 3 << 40,
	} {
		got, err := parseBytes(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "auto", "-1", "1MB", "1Mi", "x", "1.5GiB", "9999999999TiB", "GiB"} {
		_, err := parseBytes(text)
		require.Error(t, err, text)
	}
}
