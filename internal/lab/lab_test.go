//go:build linux

package main

import (
	"os"
	"testing"
)

// quick are scenarios that take less than a second each, some of every family.
var quick = []string{
	"refused", "handshake-ack-lost", "simultaneous-open", "defer-accept", "fast-open",
	"close-client", "close-three-segments", "half-close", "simultaneous-close", "fin-before-hole",
	"last-ack-lost", "data-after-close", "network-duplicates", "ipv6",
	"reset-by-client", "reset-by-server", "half-open-reconnect",
	"time-wait-refuses", "forged-reset-in-window", "old-duplicate-syn", "midstream", "one-sided",
}

// TestLab makes some captures afresh on this machine's kernel, and holds the
// tracker to what that kernel says.
func TestLab(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: the lab makes network namespaces")
	}
	for _, file := range []string{"/dev/net/tun", "/sys/kernel/tracing"} {
		if _, err := os.Stat(file); err != nil {
			t.Skip(err)
		}
	}
	if testing.Short() {
		t.Skip("-short: takes some seconds")
	}
	dir := t.TempDir()
	if err := run(dir, quick); err != nil {
		t.Fatal(err)
	}
	for _, name := range quick {
		t.Run(name, func(t *testing.T) { replay(t, dir, name) })
	}
}
