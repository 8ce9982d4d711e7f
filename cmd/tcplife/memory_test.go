package main

import (
	"math"
	"runtime/debug"
	"testing"
)

// TestBoundMemory: the process is held near the limit of connections, whatever that
// is, unless the environment says otherwise.
func TestBoundMemory(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	for _, tt := range []struct {
		limit       size
		gogc, most  string
		wantPercent int
		wantLimit   int64
	}{
		{1 << 30, "", "", 50, 2<<30 + 64<<20},
		{math.MaxInt64, "", "", 50, math.MaxInt64/4*2 + 64<<20},
		{1 << 30, "70", "1GiB", 100, math.MaxInt64},
	} {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
		t.Setenv("GOGC", tt.gogc)
		t.Setenv("GOMEMLIMIT", tt.most)
		boundMemory(tt.limit)
		if got := debug.SetMemoryLimit(-1); got != tt.wantLimit {
			t.Errorf("%d: limit %d, want %d", tt.limit, got, tt.wantLimit)
		}
		if got := debug.SetGCPercent(100); got != tt.wantPercent {
			t.Errorf("%d: %d percent, want %d", tt.limit, got, tt.wantPercent)
		}
	}
}
