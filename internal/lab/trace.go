//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A change is one transition of a kernel's TCP socket, as its tracepoint
// sock:inet_sock_set_state tells it. States are RFC 9293's.
type change struct {
	mono          time.Duration // CLOCK_MONOTONIC
	local, remote netip.AddrPort
	from, to      string
}

// kernelStates are the kernel's names in terms of RFC 9293. TIME_WAIT and
// NEW_SYN_RECV never appear in the tracepoint: both are minisocks.
var kernelStates = map[string]string{
	"TCP_ESTABLISHED": "ESTABLISHED", "TCP_SYN_SENT": "SYN_SENT", "TCP_SYN_RECV": "SYN_RCVD",
	"TCP_FIN_WAIT1": "FIN_WAIT_1", "TCP_FIN_WAIT2": "FIN_WAIT_2", "TCP_CLOSE": "CLOSED",
	"TCP_CLOSE_WAIT": "CLOSE_WAIT", "TCP_LAST_ACK": "LAST_ACK", "TCP_LISTEN": "LISTEN",
	"TCP_CLOSING": "CLOSING",
}

// A tracer reads the kernel's socket transitions from an instance of tracefs of
// its own, so that no other use of tracing is disturbed.
type tracer struct {
	dir  string
	pipe *os.File

	mu      sync.Mutex
	changes []change
	lost    bool // the kernel overwrote entries before they were read
	marks   map[string]chan struct{}
}

const tracefs = "/sys/kernel/tracing"

func newTracer() (*tracer, error) {
	if _, err := os.Stat(tracefs + "/instances"); err != nil {
		if err := unix.Mount("tracefs", tracefs, "tracefs", 0, ""); err != nil {
			return nil, fmt.Errorf("mount tracefs: %w", err)
		}
	}
	t := &tracer{dir: tracefs + "/instances/tcplife-lab", marks: map[string]chan struct{}{}}
	os.Remove(t.dir) // left behind by a killed run
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return nil, err
	}
	for _, s := range [][2]string{
		{"trace_clock", "mono"},
		{"events/sock/inet_sock_set_state/filter", "protocol == 6"},
		{"events/sock/inet_sock_set_state/enable", "1"},
	} {
		if err := os.WriteFile(filepath.Join(t.dir, s[0]), []byte(s[1]), 0); err != nil {
			t.close()
			return nil, err
		}
	}
	var err error
	if t.pipe, err = os.Open(filepath.Join(t.dir, "trace_pipe")); err != nil {
		t.close()
		return nil, err
	}
	go t.read()
	return t, nil
}

func (t *tracer) close() {
	os.WriteFile(filepath.Join(t.dir, "events/enable"), []byte("0"), 0)
	if t.pipe != nil {
		// The reader sleeps in the pipe until the next entry.
		os.WriteFile(filepath.Join(t.dir, "trace_marker"), []byte("end"), 0)
		t.pipe.Close()
	}
	for range 50 { // busy while the reader is in the pipe
		if os.Remove(t.dir) == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (t *tracer) read() {
	sc := bufio.NewScanner(t.pipe)
	for sc.Scan() {
		line := sc.Text()
		if _, m, ok := strings.Cut(line, "tracing_mark_write: "); ok {
			if m == "end" {
				return
			}
			t.mu.Lock()
			if c := t.marks[m]; c != nil {
				close(c)
				delete(t.marks, m)
			}
			t.mu.Unlock()
			continue
		}
		t.mu.Lock()
		if c, ok := parseChange(line); ok {
			t.changes = append(t.changes, c)
		} else if strings.Contains(line, "EVENTS]") {
			t.lost = true
		}
		t.mu.Unlock()
	}
}

// parseChange takes a line such as
//
//	x-1 [000] b..1. 8.123456: inet_sock_set_state: family=AF_INET ... oldstate=TCP_CLOSE newstate=TCP_SYN_SENT
func parseChange(line string) (change, bool) {
	head, args, ok := strings.Cut(line, ": inet_sock_set_state: ")
	if !ok {
		return change{}, false
	}
	f := strings.Fields(head)
	sec, err := strconv.ParseFloat(f[len(f)-1], 64)
	if err != nil {
		return change{}, false
	}
	kv := map[string]string{}
	for _, a := range strings.Fields(args) {
		k, v, _ := strings.Cut(a, "=")
		kv[k] = v
	}
	end := func(a, p string) netip.AddrPort {
		ip, _ := netip.ParseAddr(kv[a])
		port, _ := strconv.ParseUint(kv[p], 10, 16)
		return netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return change{
		mono:  time.Duration(math.Round(sec*1e6)) * time.Microsecond,
		local: end("saddrv6", "sport"), remote: end("daddrv6", "dport"),
		from: kernelStates[kv["oldstate"]], to: kernelStates[kv["newstate"]],
	}, true
}

// of returns the changes of sockets with one of the addresses since a moment of
// CLOCK_MONOTONIC. A mark in the trace makes sure that everything before the
// call has been read.
func (t *tracer) of(since time.Duration, addrs ...netip.Addr) ([]change, error) {
	mark := fmt.Sprintf("%v %d", addrs, since)
	seen := make(chan struct{})
	t.mu.Lock()
	t.marks[mark] = seen
	t.mu.Unlock()
	if err := os.WriteFile(filepath.Join(t.dir, "trace_marker"), []byte(mark), 0); err != nil {
		return nil, err
	}
	select {
	case <-seen:
	case <-time.After(10 * time.Second):
		return nil, errors.New("the trace stands still")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost {
		return nil, errors.New("the trace has lost entries")
	}
	var cs []change
	for _, c := range t.changes {
		for _, a := range addrs {
			if c.local.Addr() == a && c.mono >= since {
				cs = append(cs, c)
			}
		}
	}
	return cs, nil
}

// monotonic returns CLOCK_MONOTONIC, and what to add to it for the clock of the
// captures.
func monotonic() (now, offset time.Duration) {
	var m unix.Timespec
	real := time.Now().UnixNano()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &m); err != nil {
		panic(err)
	}
	real += (time.Now().UnixNano() - real) / 2
	return time.Duration(m.Nano()), time.Duration(real - m.Nano())
}
