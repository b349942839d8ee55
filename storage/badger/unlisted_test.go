package badger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/storage/badger"
)

// A manifest that is missing, or that has lost its last records, does not list tables whose content is
// in no log any more. badger would remove them without a word.
func TestTablesThatTheManifestDoesNotListAreNotRemoved(t *testing.T) {
	for name, damage := range map[string]func(manifest []byte) []byte{
		"missing":    nil,
		"no records": func(m []byte) []byte { return m[:8] },
		"zeros":      func(m []byte) []byte { clear(m[8:]); return m },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := opened(t, dir)
			value := strings.Repeat("v", 900)
			tables := func() []string {
				found, err := filepath.Glob(filepath.Join(dir, "*.sst"))
				require.NoError(t, err)
				return found
			}
			for i := 0; len(tables()) == 0; i++ { // until a table has left its log
				require.NoError(t, s.Commit(t.Context(), one("s", fmt.Sprintf("%09d", i), value)))
			}
			oldest := filepath.Join(dir, "00001.mem")
			require.Eventually(t, func() bool { _, err := os.Stat(oldest); return err != nil }, 10*time.Second, time.Millisecond)
			require.NoError(t, s.Commit(t.Context(), one("s", "last", "v")))

			killed := t.TempDir()
			require.NoError(t, os.CopyFS(killed, os.DirFS(dir)))
			require.NoError(t, opened(t, killed).Close()) // as it was, it opens
			require.NoError(t, os.RemoveAll(killed))
			require.NoError(t, os.CopyFS(killed, os.DirFS(dir)))
			manifest := filepath.Join(killed, "MANIFEST")
			content, err := os.ReadFile(manifest)
			require.NoError(t, err)
			require.NoError(t, os.Remove(manifest))
			if damage != nil {
				require.NoError(t, os.WriteFile(manifest, damage(content), 0o600))
			}
			err = badger.Open(killed).Open(t.Context())
			require.ErrorIs(t, err, badger.ErrDamaged)
			require.ErrorContains(t, err, "whose content is nowhere else")
		})
	}
}
