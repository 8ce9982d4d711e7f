//go:build !unix

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: needs a system that tells what a process took (getrusage)")
	os.Exit(1)
}
