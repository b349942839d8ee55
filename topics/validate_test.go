package topics_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/topics"
)

func TestValidateName(t *testing.T) {
	for _, tt := range []struct {
		clause, name string
		want         error
	}{
		{"", "a", nil},
		{"", "/", nil},
		{"", "//", nil},
		{"", "sport/tennis/player1", nil},
		{"", " ", nil},
		{"", "$SYS/broker", nil},
		{"", "$share/g/t", nil},
		{"MQTT-1.5.4-3", "\ufeffa", nil},
		{"", "a\u0001b", nil}, // control characters are discouraged, not forbidden
		{"MQTT-4.7.3-3", strings.Repeat("/", topics.MaxLength), nil},
		{"MQTT-4.7.3-1", "", topics.ErrEmpty},
		{"MQTT-4.7.3-2", "a\x00b", topics.ErrNull},
		{"MQTT-4.7.3-3", strings.Repeat("a", topics.MaxLength+1), topics.ErrTooLong},
		{"MQTT-1.5.4-1", "a\xff", topics.ErrNotUTF8},
		{"MQTT-1.5.4-1", "\xed\xa0\x80", topics.ErrNotUTF8}, // U+D800
		{"MQTT-1.5.4-1", "\xc0\x80", topics.ErrNotUTF8},     // U+0000, too long
		{"MQTT-4.7.0-1", "a/+", topics.ErrWildcard},
		{"MQTT-4.7.0-1", "#", topics.ErrWildcard},
		{"MQTT-4.7.0-1", "a+b", topics.ErrWildcard},
	} {
		requireProblem(t, tt.clause, tt.name, topics.ValidateName(tt.name), tt.want)
	}
}

func TestValidateFilter(t *testing.T) {
	for _, tt := range []struct {
		clause, filter string
		want           error
	}{
		{"", "a", nil},
		{"", "/", nil},
		{"MQTT-4.7.1-1", "#", nil},
		{"MQTT-4.7.1-1", "sport/tennis/#", nil},
		{"MQTT-4.7.1-1", "/#", nil},
		{"MQTT-4.7.1-2", "+", nil},
		{"MQTT-4.7.1-2", "+/tennis/#", nil},
		{"MQTT-4.7.1-2", "sport/+/player1", nil},
		{"MQTT-4.7.1-2", "/+", nil},
		{"MQTT-4.7.1-2", "+/", nil},
		{"", "$SYS/#", nil},
		{"", "$share", nil}, // does not begin with "$share/"
		{"", "$shared/+", nil},
		{"", "$queue/a", nil},
		{"MQTT-4.8.2-1", "$share/g/a/+/#", nil},
		{"MQTT-4.8.2-2", "$share/g//", nil},
		{"MQTT-4.7.3-1", "", topics.ErrEmpty},
		{"MQTT-4.7.3-2", "a/\x00", topics.ErrNull},
		{"MQTT-4.7.3-2", "$share/\x00/a", topics.ErrNull},
		{"MQTT-4.7.3-3", strings.Repeat("/", topics.MaxLength+1), topics.ErrTooLong},
		{"MQTT-4.7.3-3", "$share/g/" + strings.Repeat("a", topics.MaxLength), topics.ErrTooLong},
		{"MQTT-1.5.4-1", "$share/\xff/a", topics.ErrNotUTF8},
		{"MQTT-4.7.1-1", "sport/tennis#", topics.ErrMultiLevel},
		{"MQTT-4.7.1-1", "sport/tennis/#/ranking", topics.ErrMultiLevel},
		{"MQTT-4.7.1-1", "#/", topics.ErrMultiLevel},
		{"MQTT-4.7.1-1", "##", topics.ErrMultiLevel},
		{"MQTT-4.7.1-1", "+#", topics.ErrMultiLevel},
		{"MQTT-4.7.1-2", "sport+", topics.ErrSingleLevel},
		{"MQTT-4.7.1-2", "++", topics.ErrSingleLevel},
		{"MQTT-4.7.1-2", "a/+b/c", topics.ErrSingleLevel},
		{"MQTT-4.8.2-1", "$share/", topics.ErrShareName},
		{"MQTT-4.8.2-1", "$share//a", topics.ErrShareName},
		{"MQTT-4.8.2-2", "$share/+/a", topics.ErrShareWildcard},
		{"MQTT-4.8.2-2", "$share/g#/a", topics.ErrShareWildcard},
		{"MQTT-4.8.2-2", "$share/g", topics.ErrShareFilter},
		{"MQTT-4.8.2-2", "$share/g/", topics.ErrShareFilter},
		{"MQTT-4.7.1-1", "$share/g/a#", topics.ErrMultiLevel},
		{"MQTT-4.7.1-2", "$share/g/a+", topics.ErrSingleLevel},
	} {
		requireProblem(t, tt.clause, tt.filter, topics.ValidateFilter(tt.filter), tt.want)
	}
}

func requireProblem(t *testing.T, clause, text string, got, want error) {
	t.Helper()
	shown := text[:min(len(text), 40)]
	if want == nil {
		require.NoError(t, got, "%s %q", clause, shown)
		return
	}
	require.ErrorIs(t, got, want, "%s %q", clause, shown)
	require.ErrorIs(t, got, topics.ErrInvalid, "%q", shown)
	var e *topics.Error
	require.ErrorAs(t, got, &e)
	require.Equal(t, clause, e.Clause, "%q", shown)
	require.ErrorContains(t, got, "["+clause+"]")
	require.ErrorContains(t, got, e.Problem)
	require.NotErrorIs(t, got, errors.ErrUnsupported)
}

func TestParseShare(t *testing.T) { // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
	for _, tt := range []struct {
		filter string
		want   topics.Shared
		ok     bool
		err    error
	}{
		{"a/b", topics.Shared{}, false, nil},
		{"$share", topics.Shared{}, false, nil},
		{"$SHARE/g/a", topics.Shared{}, false, nil},
		{"$queue/a", topics.Shared{}, false, nil},
		{"/$share/g/a", topics.Shared{}, false, nil},
		{"$share/g/a", topics.Shared{Group: "g", Filter: "a"}, true, nil},
		{"$share/g//", topics.Shared{Group: "g", Filter: "/"}, true, nil},
		{"$share/consumer1//finance/#", topics.Shared{Group: "consumer1", Filter: "/finance/#"}, true, nil},
		{"$share/g/$share/h/a", topics.Shared{Group: "g", Filter: "$share/h/a"}, true, nil},
		{"$share/", topics.Shared{}, true, topics.ErrShareName},
		{"$share//", topics.Shared{}, true, topics.ErrShareName},
		{"$share/g+/a", topics.Shared{}, true, topics.ErrShareWildcard},
		{"$share/#", topics.Shared{}, true, topics.ErrShareWildcard},
		{"$share/g", topics.Shared{}, true, topics.ErrShareFilter},
		{"$share/g/", topics.Shared{}, true, topics.ErrShareFilter},
	} {
		s, ok, err := topics.ParseShare(tt.filter)
		require.Equal(t, tt.want, s, tt.filter)
		require.Equal(t, tt.ok, ok, tt.filter)
		if tt.err == nil {
			require.NoError(t, err, tt.filter)
		} else {
			require.ErrorIs(t, err, tt.err, tt.filter)
		}
		if ok && err == nil {
			require.Equal(t, tt.filter, s.String())
		}
	}
}

func TestChecksDoNotAllocate(t *testing.T) {
	allocs := testing.AllocsPerRun(100, func() {
		if topics.ValidateName("a/b") != nil || topics.ValidateFilter("$share/g/+/b/#") != nil ||
			!topics.Match("+/b/#", "a/b") || topics.ValidateFilter("a#") == nil {
			t.Error("wrong answer")
		}
	})
	require.Zero(t, allocs)
}
