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
	err := cmd.Execute()
	var failed *commandError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE): // the reader has seen enough
		return statusOK
	case errors.As(err, &failed):
		complain(stderr, failed.Error())
		return failed.status
	case errors.Is(err, errTold):
	case errors.Is(err, errBroken):
		return statusBroken
	default:
		complain(stderr, err.Error())
	}
	return statusTrouble
}

// errTold is returned when stderr has the details already.
var errTold = errors.New("some input could not be read to its end")

// complain writes one line to stderr. What it says may come from a file's name.
func complain(stderr io.Writer, what string) {
	fmt.Fprintf(stderr, "tcplife: %s\n", report.Printable(what))
}
