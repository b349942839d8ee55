package pipe

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	a, b := New("name")
	require.Equal(t, "name", a.LocalAddr().String())
	require.Equal(t, "pipe", b.RemoteAddr().Network())
	sent := bytes.Repeat([]byte("0123456789"), 50_000)
	done := make(chan error, 1)
	go func() {
		_, err := a.Write(sent)
		_ = a.Close()
		done <- err
	}()
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.True(t, bytes.Equal(sent, got))
	_, err = b.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// TestBuffers holds that writing does not wait for the reader up to the capacity, and does beyond.
func TestBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := New("")
		n, err := a.Write(make([]byte, capacity))
		require.NoError(t, err)
		require.Equal(t, capacity, n)
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err = a.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Zero(t, n)
		_, err = b.Read(make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err = a.Write(make([]byte, 20))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 10, n)
	})
}

func TestClose(t *testing.T) {
	a, b := New("")
	_, err := a.Write([]byte("last words"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	buf := make([]byte, 20)
	n, err := b.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "last words", string(buf[:n]))
	_, err = b.Read(buf)
	require.ErrorIs(t, err, io.EOF)
	_, err = a.Read(buf)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = a.Write(buf)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestCloseWrite(t *testing.T) {
	a, b := New("")
	require.NoError(t, a.(interface{ CloseWrite() error }).CloseWrite())
	_, err := b.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	_, err = b.Write([]byte("x")) // the other way goes on
	require.NoError(t, err)
	n, err := a.Read(make([]byte, 1))
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// TestDeadlineWakes holds that a deadline wakes a reader that waits: one that passes, one that is moved into the past, and Close.
func TestDeadlineWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := New("")
		read := func() <-chan error {
			failed := make(chan error, 1)
			go func() {
				_, err := a.Read(make([]byte, 1))
				failed <- err
			}()
			synctest.Wait()
			return failed
		}
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Minute)))
		began := time.Now()
		require.ErrorIs(t, <-read(), os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))
		require.NoError(t, a.SetDeadline(time.Time{}))
		failed := read()
		time.Sleep(time.Hour)
		require.NoError(t, a.SetDeadline(time.Unix(1, 0)))
		require.ErrorIs(t, <-failed, os.ErrDeadlineExceeded)
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Minute)))
		failed = read()
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Hour))) // later
		time.Sleep(2 * time.Minute)
		require.NoError(t, a.Close())
		require.ErrorIs(t, <-failed, net.ErrClosed)
	})
}

// TestDeadlineRace moves the deadline while readers come and go: none may miss it.
func TestDeadlineRace(t *testing.T) {
	for range 2000 {
		a, _ := New("")
		failed := make(chan error, 1)
		go func() {
			_, err := a.Read(make([]byte, 1))
			failed <- err
		}()
		require.NoError(t, a.SetReadDeadline(time.Unix(1, 0)))
		select {
		case err := <-failed:
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		case <-time.After(5 * time.Second):
			t.Fatal("the reader missed its deadline")
		}
	}
}
