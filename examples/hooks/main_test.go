package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

func TestReadings(t *testing.T) {
	for _, tc := range []struct {
		topic, payload string
		code           packets.ReasonCode
		noted          bool
	}{
		{"readings/kitchen", "21.5", packets.Success, true},
		{"readings/kitchen", "warm", packets.PayloadFormatInvalid, false},
		{"other", "warm", packets.Success, false},
	} {
		e := &shoal.PublishEvent{
			Client:  shoal.ClientInfo{ClientID: "thermometer"},
			Message: shoal.Message{TopicName: tc.topic, Payload: []byte(tc.payload)},
		}
		err := numbers{}.InterceptPublish(t.Context(), e)
		require.Equal(t, tc.code, shoal.ReasonCodeOf(err, packets.Success))
		require.Equal(t, tc.noted, len(e.Message.Properties.UserProperties) == 1)
	}
}

func TestHooksAreHooks(t *testing.T) {
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithHook(numbers{}, visitors{}))
	require.NoError(t, err)
}
