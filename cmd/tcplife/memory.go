package main

import (
	"math"
	"os"
	"runtime/debug"
)

const (
	// garbage is how much the collector lets lie about, in percent of what is in use.
	// Half of Go's default: a process that lives for months may work a little more, and
	// the tables of connections hold few pointers to follow.
	garbage = 50

	// besideTables is for the program and what does not grow with connections.
	besideTables size = 64 << 20
)

// boundMemory has the collector keep the process near what connections may take:
// once as much again is for what was told of them and for garbage. The environment
// goes before, as in every Go program.
func boundMemory(limit size) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(min(limit, math.MaxInt64/4)*2 + besideTables))
	}
}
