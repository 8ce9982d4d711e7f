// Command tcplife tells the life of every TCP connection in a capture file:
// which RFC 9293 state each end was in, when it changed, and which frame shows it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"tcplife/report"
)

// Exit status, by the convention of diff and grep.
const (
	statusOK      = 0
	statusBroken  = 1 // a policy is, see check
	statusTrouble = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program, as a function of its arguments.
func run(args []string, stdout, stderr io.Writer) int {
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return statusOf(cmd.Execute(), stderr)
}

// statusOf tells each of the errors that err joins, and returns the exit status. A
// command's own comes before ours, and trouble before a verdict, which may lack what
// could not be read.
func statusOf(err error, stderr io.Writer) int {
	var failed *commandError
	trouble, broken := false, false
	for _, err := range joined(err) {
		switch {
		case errors.Is(err, syscall.EPIPE): // the reader has seen enough
		case errors.Is(err, errTold):
			trouble = true
		case errors.Is(err, errBroken):
			broken = true
		default:
			complain(stderr, err.Error())
			trouble = trouble || !errors.As(err, &failed)
		}
	}
	switch {
	case failed != nil:
		return failed.status
	case trouble:
		return statusTrouble
	case broken:
		return statusBroken
	}
	return statusOK
}

// joined returns the errors that errors.Join made one of.
func joined(err error) (list []error) {
	if err == nil {
		return nil
	}
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, err := range several.Unwrap() {
		list = append(list, joined(err)...)
	}
	return list
}

// errTold is returned when stderr has the details already.
var errTold = errors.New("some input could not be read to its end")

// complain writes one line to stderr. What it says may come from a file's name.
func complain(stderr io.Writer, what string) {
	fmt.Fprintf(stderr, "tcplife: %s\n", report.Printable(what))
}
