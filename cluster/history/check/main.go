// Command check prints what is wrong with recorded histories, with the life of the messages concerned. It ends with status 1 if anything is.
//
//	go run github.com/shoalmq/shoal/cluster/history/check [-excuse-lost-nodes] [-without rule,rule] file.jsonl …
//
// A file "-" is the standard input.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/shoalmq/shoal/cluster/history"
)

var errViolations = errors.New("there are violations")

func main() {
	err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, errViolations):
		os.Exit(1)
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(2)
	}
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	fs.SetOutput(stderr)
	excuse := fs.Bool("excuse-lost-nodes", false, "excuse what sessions lose when the node that has them is killed")
	without := fs.String("without", "", "`rules` to leave out, with commas between, such as dup-flag,disorder")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return errors.New("no file is given; name at least one, or - for the standard input")
	}
	o := history.Options{ExcuseLostNodes: *excuse}
	for r := range strings.SplitSeq(*without, ",") {
		if r != "" {
			o.Without = append(o.Without, history.Rule(r))
		}
	}
	wrong := false
	for _, name := range fs.Args() {
		h, err := read(name, stdin)
		if err != nil {
			return err
		}
		r := history.Check(h, o)
		fmt.Fprintf(stdout, "%s: %d events\n", name, len(h))
		if err := r.Write(stdout, h); err != nil {
			return err
		}
		wrong = wrong || len(r.Violations) > 0
	}
	if wrong {
		return errViolations
	}
	return nil
}

func read(name string, stdin io.Reader) (h history.History, err error) {
	if name == "-" {
		return history.Read(stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if h, err = history.Read(f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return h, nil
}
