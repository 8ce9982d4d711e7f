package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcplife/internal/script"
	"tcplife/report/ladder"
)

// writePcap makes a capture of n half-open handshakes and returns its name.
func writePcap(t *testing.T, n int) string {
	t.Helper()
	return playPcap(t, strings.Repeat("0 --> S 0:0(0)\n+.1 <-- S. 0:0(0) ack 1\n+5 (udp)\n\n", n))
}

// playPcap makes a capture of connection scripts and returns its name.
func playPcap(t *testing.T, text string) string {
	t.Helper()
	scripts, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "a.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(script.WritePcap(f, 1, 2, scripts...), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestExplainLong: a connection of many segments is told whole, in straight
// columns, and what comes behind its end is not read.
func TestExplainLong(t *testing.T) {
	const n = 2*ladder.MaxHeld + 500
	var text strings.Builder
	text.WriteString("0 --> S 0:0(0)\n+.01 <-- S. 0:0(0) ack 1\n+.01 --> . 1:1(0) ack 1\n")
	for i := range n {
		fmt.Fprintf(&text, "+.01 --> P. %d:%d(1) ack 1\n", i+1, i+2)
	}
	fmt.Fprintf(&text, "+.01 <-- R. 1:1(0) ack %d\n+61 (udp)\n", n+1)
	text.WriteString(strings.Repeat("+.01 (udp)\n", 100))
	name := playPcap(t, text.String())
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data[:len(data)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if status := run([]string{"explain", name, "-c", "1"}, &stdout, &stderr); status != statusOK || stderr.Len() > 0 {
		t.Errorf("status %d, %q on stderr", status, stderr.String())
	}
	steps, column := 0, 0 // column of the server's ESTABLISHED
	for line := range strings.Lines(stdout.String()) {
		if line[0] != '0' && line[0] != '+' {
			continue
		}
		steps++
		at := strings.LastIndex(line, "ESTABLISHED")
		if column == 0 && at >= 0 {
			column = at
		}
		if at >= 0 && at != column {
			t.Fatalf("column %d, not %d: %s", at, column, line)
		}
	}
	if want := 3 + n + 2; steps != want {
		t.Errorf("%d lines, want %d", steps, want)
	}
}

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }

// TestWriteErrors: a reader that has seen enough (| head) is no trouble, a full
// disk is.
func TestWriteErrors(t *testing.T) {
	name := writePcap(t, 1)
	for _, args := range [][]string{{name}, {"-f", "jsonl", name}, {"-f", "csv", "--separate", name, name}, {"-f", "json", name}, {"explain", name, "-c", "1"}} {
		for _, test := range []struct {
			err    error
			status int
			stderr string
		}{
			{syscall.EPIPE, statusOK, ""},
			{syscall.ENOSPC, statusTrouble, "tcplife: writing the report: no space left on device\n"},
		} {
			var stderr bytes.Buffer
			if got := run(args, failing{test.err}, &stderr); got != test.status || stderr.String() != test.stderr {
				t.Errorf("%v, %v: status %d, %q on stderr", args, test.err, got, stderr.String())
			}
		}
	}
}

// TestStatusOf: each of several errors is told on a line of its own; a command's exit
// status comes before trouble, and trouble before a broken policy, which is one also
// where the reader of the verdict has gone.
func TestStatusOf(t *testing.T) {
	seven := &commandError{"false", 7, "exit status 7"}
	full := fmt.Errorf("report text: %w", syscall.ENOSPC)
	gone := fmt.Errorf("report text: %w", syscall.EPIPE)
	for _, test := range []struct {
		errs   []error
		status int
		stderr string
	}{
		{nil, statusOK, ""},
		{[]error{gone}, statusOK, ""},
		{[]error{gone, errBroken}, statusBroken, ""},
		{[]error{errBroken, errTold}, statusTrouble, ""},
		{[]error{errBroken, full}, statusTrouble, "tcplife: report text: no space left on device\n"},
		{[]error{seven, errors.Join(full, errBroken)}, 7, "tcplife: false: exit status 7\ntcplife: report text: no space left on device\n"},
	} {
		var stderr bytes.Buffer
		if got := statusOf(errors.Join(test.errs...), &stderr); got != test.status || stderr.String() != test.stderr {
			t.Errorf("%v: status %d, %q on stderr", test.errs, got, stderr.String())
		}
	}
}

// TestCheckWriteErrors: a verdict that nobody reads is one, and its files are written.
func TestCheckWriteErrors(t *testing.T) {
	name, file := writePcap(t, 1), filepath.Join(t.TempDir(), "out.xml")
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\nlimits: {connections: 0}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for err, status := range map[error]int{syscall.EPIPE: statusBroken, syscall.ENOSPC: statusTrouble} {
		var stderr bytes.Buffer
		os.Remove(file)
		got := run([]string{"check", "-p", policy, "--report", "text", "--report", "junit=" + file, name}, failing{err}, &stderr)
		if xml, _ := os.ReadFile(file); got != status || !bytes.Contains(xml, []byte("<failure")) {
			t.Errorf("%v: status %d, %s, %q on stderr", err, got, xml, stderr.String())
		}
	}
}

// TestQuiet: warnings are on stderr, and --quiet leaves them out.
func TestQuiet(t *testing.T) {
	name := writePcap(t, 1)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[4] = 3 // the major version
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if status := run([]string{name}, io.Discard, &stderr); status != statusOK || !strings.HasPrefix(stderr.String(), "tcplife: "+name+": pcap version 3.4") {
		t.Errorf("status %d, %q on stderr", status, stderr.String())
	}
	stderr.Reset()
	if status := run([]string{"-q", name}, io.Discard, &stderr); status != statusOK || stderr.Len() > 0 {
		t.Errorf("--quiet: status %d, %q on stderr", status, stderr.String())
	}
}

type halfRead struct{}

func (halfRead) Progress() (read, size int64) { return 50e6, 100e6 }

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.show(time.Second) // nothing is read yet
	p.source.Store(&measured{"a.pcap", halfRead{}})
	p.packets.Add(1000)
	p.show(2 * time.Second)
	p.clear()
	p.stop()
	p.stop()
	if got, want := out.String(), "\r\x1b[Ka.pcap: 50 MB of 100 MB (50 %), 1000 packets, 500/s\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
