package programtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Output runs the program until it ends, with a text on standard input, and returns its exit status and what it wrote to standard output and
// to standard error.
func (b *Binary) Output(t testing.TB, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.CommandContext(t.Context(), b.Path(t), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// StartIn runs the program in a directory, with further environment variables.
func (b *Binary) StartIn(t testing.TB, dir string, env []string, args ...string) *Process {
	t.Helper()
	return b.StartBy(t, func(path string, args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		return cmd
	}, args...)
}
