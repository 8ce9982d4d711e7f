//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
// tracker to what that kernel says. The times don't count, and only what comes
// out three times is an error: on a busy machine a host may take so long for an
// answer that the wire can't show what it does.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: takes some seconds")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: the lab makes network namespaces")
	}
	again := quick
	diffs := map[string][]string{}
	for range 3 {
		dir := t.TempDir()
		err := run(dir, again)
		if without(err) {
			t.Skip("needs namespaces, /dev/net/tun, tracefs and iproute2: ", err)
		}
		var failed []string
		for _, name := range again {
			if _, e := os.Stat(filepath.Join(dir, name+".want")); e != nil {
				diffs[name] = []string{fmt.Sprint("not made: ", err)}
			} else {
				diffs[name] = replay(t, dir, name, false)
			}
			if diffs[name] != nil {
				failed = append(failed, name)
			}
		}
		if again = failed; again == nil {
			return
		}
	}
	for _, name := range again {
		t.Run(name, func(t *testing.T) { t.Error(strings.Join(diffs[name], "\n")) })
	}
}

// TestRandom plays some random scenarios. Only one that disagrees three times is
// an error: what a kernel's timers add is not the same every time.
func TestRandom(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: takes some seconds")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: the lab makes network namespaces")
	}
	seeds := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	var out strings.Builder
	for range 3 {
		out.Reset()
		disagree, err := random(&out, "", seeds)
		if without(err) {
			t.Skip("needs namespaces, /dev/net/tun, tracefs and iproute2: ", err)
		}
		if err == nil {
			seeds = disagree
		}
		if seeds == nil {
			return
		}
	}
	t.Error(out.String())
}

// without reports whether the machine lacks what the lab needs.
func without(err error) bool {
	return slices.ContainsFunc([]error{fs.ErrPermission, fs.ErrNotExist, unix.EROFS, unix.ENODEV, exec.ErrNotFound}, func(missing error) bool {
		return errors.Is(err, missing)
	})
}

func TestParseChange(t *testing.T) {
	const line = "          <idle>-0       [001] b.s3.  1838.658890: inet_sock_set_state: " +
		"family=AF_INET protocol=IPPROTO_TCP sport=80 dport=40000 saddr=198.51.100.9 daddr=192.0.2.9 " +
		"saddrv6=::ffff:198.51.100.9 daddrv6=::ffff:192.0.2.9 oldstate=TCP_SYN_RECV newstate=TCP_FIN_WAIT1"
	c, ok := parseChange(line)
	want := change{
		mono:  1838658890 * time.Microsecond,
		local: netip.MustParseAddrPort("198.51.100.9:80"), remote: netip.MustParseAddrPort("192.0.2.9:40000"),
		from: "SYN_RCVD", to: "FIN_WAIT_1",
	}
	if !ok || c != want {
		t.Errorf("got %v, %v; want %v", c, ok, want)
	}
	if _, ok := parseChange("CPU:1 [LOST 5 EVENTS]"); ok {
		t.Error("lost events are no change")
	}
}
