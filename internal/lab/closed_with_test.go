package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// calls are what the applications of the captures called, where the wire tells:
// by whose first call the half of an end was closed. An abort is SO_LINGER 0 and
// close(), or close() with data unread, or close() of the listener.
var calls = map[string][2]string{
	"close-queued-forever":  {"", "reset"},
	"data-after-close":      {"close", ""},
	"forged-ack-ahead":      {"", "shutdown"},
	"forged-reset-orphan":   {"close", ""},
	"half-close":            {"shutdown", ""},
	"half-close-active":     {"shutdown", ""},
	"listener-closed":       {"", "reset"},
	"orphan-expires":        {"close", ""},
	"reset-behind-fin":      {"reset", ""},
	"reset-by-client":       {"reset", ""},
	"reset-by-server":       {"", "reset"},
	"reset-crossing-data":   {"reset", ""},
	"reset-in-close-wait":   {"", "reset"},
	"reset-numbered-fin":    {"close", ""},
	"request-lost-to-close": {"", "close"},
	"resets-cluster":        {"", "reset"},
	"time-wait-overflow":    {"close", ""},
}

// TestClosedWith holds what is said of the applications' calls to what they
// called: in the captures above it is told, in all others nothing is. Forged
// resets, keep-alives that give up and hosts that lost a socket are no calls.
func TestClosedWith(t *testing.T) {
	files, err := filepath.Glob(pcaps + "/*.pcap")
	if err != nil || files == nil {
		t.Fatalf("no captures in %s: %v", pcaps, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".pcap")
		gs, err := trackFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range gs {
			if want := calls[name]; g.ClosedWith != want {
				t.Errorf("%s, connection %d: %q, called was %q", name, i+1, g.ClosedWith, want)
			}
		}
	}
}
