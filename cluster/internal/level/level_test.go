package level

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]Range{"": {1, 1}, "1-1": {1, 1}, "2-5": {2, 5}, Own().String(): Own()} {
		r, err := Parse(s)
		require.NoError(t, err, s)
		require.Equal(t, want, r)
	}
	for _, s := range []string{"1", "2-1", "0-1", "1-2x", "a-b", " 1-2", "01-2", "1-256", "1-99999999999999999999"} {
		_, err := Parse(s)
		require.Error(t, err, s)
	}
	require.True(t, Range{1, 2}.Speaks(2))
	require.False(t, Range{1, 2}.Speaks(3))
	require.False(t, Range{2, 3}.Speaks(1))
}
