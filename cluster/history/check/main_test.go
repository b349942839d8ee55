package main

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/history"
)

func TestRun(t *testing.T) {
	good := history.History{{Kind: history.Calm}}
	bad := history.History{
		{Kind: history.Connect, Client: "a", Conn: 1, CleanStart: true},
		{Kind: history.ConnAck, Client: "a", Conn: 1, SessionPresent: true},
	}
	goodFile, badFile := filepath.Join(t.TempDir(), "good.jsonl"), filepath.Join(t.TempDir(), "bad.jsonl")
	require.NoError(t, good.WriteFile(goodFile))
	require.NoError(t, bad.WriteFile(badFile))

	var out, stdin bytes.Buffer
	require.NoError(t, run([]string{goodFile}, nil, &out, io.Discard))
	require.Contains(t, out.String(), "no violations")
	require.ErrorIs(t, run([]string{goodFile, badFile}, nil, &out, io.Discard), errViolations)
	require.Contains(t, out.String(), "session-present: Session Present is 1 after Clean Start")
	require.NoError(t, run([]string{"-without", "session-present,disorder", badFile}, nil, &out, io.Discard))
	require.NoError(t, bad.Write(&stdin))
	require.ErrorIs(t, run([]string{"-"}, &stdin, &out, io.Discard), errViolations)
	require.ErrorContains(t, run(nil, nil, &out, io.Discard), "no file is given")
	require.Error(t, run([]string{filepath.Join(t.TempDir(), "none")}, nil, &out, io.Discard))
	stdin.WriteString("{")
	require.ErrorContains(t, run([]string{"-"}, &stdin, &out, io.Discard), "line 1")
}
