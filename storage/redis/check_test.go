package redis_test

import (
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/storage/redis"
)

// What a server is set to is looked at when the store is opened: one that evicts is refused, with the setting and what to do, and one that may lose what it
// has confirmed is warned about.
func TestSettingsAreChecked(t *testing.T) {
	server := testservers.Redis(t)
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, ForceSingleClient: true, DisableCache: true})
	require.NoError(t, err)
	defer client.Close()
	do := func(args ...string) {
		require.NoError(t, client.Do(t.Context(), client.B().Arbitrary(args...).Build()).Error(), args)
	}
	open := func(url string, opts ...redis.Option) ([]string, error) {
		st := redis.Open(url, opts...)
		err := st.Open(t.Context())
		require.NoError(t, st.Close())
		return st.Advice(), err
	}
	url := "redis://" + server.Addr()
	for _, policy := range []string{"allkeys-lru", "allkeys-random", "volatile-ttl"} {
		do("CONFIG", "SET", "maxmemory-policy", policy)
		_, err = open(url)
		require.ErrorIs(t, err, redis.ErrEvicts)
		require.ErrorContains(t, err, "maxmemory-policy")
		require.ErrorContains(t, err, policy)
		require.ErrorContains(t, err, "noeviction")
		advice, err := open(url, redis.WithEviction())
		require.NoError(t, err)
		require.Contains(t, advice[0], "is lost")
	}
	do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	do("CONFIG", "SET", "appendonly", "no")
	for save, want := range map[string]string{"": "keeps nothing on disk", "3600 1": "snapshots alone"} {
		do("CONFIG", "SET", "save", save)
		advice, err := open(url)
		require.NoError(t, err)
		require.Len(t, advice, 1)
		require.Contains(t, advice[0], want)
		require.Contains(t, advice[0], "appendonly")
	}
	do("CONFIG", "SET", "appendonly", "yes")
	do("CONFIG", "SET", "appendfsync", "everysec")
	advice, err := open(url)
	require.NoError(t, err)
	require.Len(t, advice, 1)
	require.Contains(t, advice[0], "appendfsync")
	do("CONFIG", "SET", "appendfsync", "always")
	advice, err = open(url)
	require.NoError(t, err)
	require.Empty(t, advice)

	do("ACL", "SETUSER", "noconfig", "on", ">pw", "~*", "&*", "+@all", "-config")
	do("ACL", "SETUSER", "blind", "on", ">pw", "~*", "&*", "+@all", "-config", "-info")
	do("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
	_, err = open("redis://noconfig:pw@" + server.Addr())
	require.ErrorIs(t, err, redis.ErrEvicts, "INFO tells it, too")
	advice, err = open("redis://blind:pw@" + server.Addr())
	require.NoError(t, err)
	require.Len(t, advice, 1)
	require.Contains(t, advice[0], "does not tell its settings")
}
