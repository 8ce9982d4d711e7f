package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// needTshark skips the test where tshark is missing.
func needTshark(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("no tshark (Debian package tshark)")
	}
}

// tshark returns what tshark prints about a capture.
func tshark(t *testing.T, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("tshark", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// TestStreamNumbers: tcp_stream is Wireshark's, and the display filter finds the
// connection's packets.
func TestStreamNumbers(t *testing.T) {
	needTshark(t)
	for _, name := range []string{"time-wait-reuse", "half-open-reconnect", "icmp-unreachable", "simultaneous-open", "syn-flood"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("../../testdata/pcaps", name+".pcap")
			want := map[uint64]string{} // stream by frame
			for line := range strings.Lines(tshark(t, "-r", file, "-Y", "tcp", "-T", "fields", "-e", "frame.number", "-e", "tcp.stream")) {
				frame, number, _ := strings.Cut(strings.TrimSpace(line), "\t")
				n, err := strconv.ParseUint(frame, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				want[n] = number
			}
			var out, stderr bytes.Buffer
			if status := run([]string{"-f", "jsonl", file}, &out, &stderr); status != statusOK {
				t.Fatalf("status %d: %s", status, stderr.String())
			}
			filters := 0
			for line := range strings.Lines(out.String()) {
				var conn struct {
					Type   string
					First  uint64  `json:"first_packet"`
					Stream *uint32 `json:"tcp_stream"`
					Filter string  `json:"display_filter"`
				}
				if err := json.Unmarshal([]byte(line), &conn); err != nil {
					t.Fatal(err)
				}
				if conn.Type != "connection" {
					continue
				}
				if conn.Stream == nil || strconv.FormatUint(uint64(*conn.Stream), 10) != want[conn.First] {
					t.Errorf("frame %d: stream %v, of tshark %s", conn.First, conn.Stream, want[conn.First])
				}
				if filters++; filters > 2 {
					continue // tshark takes a second each
				}
				found := strings.Fields(tshark(t, "-r", file, "-Y", conn.Filter, "-T", "fields", "-e", "frame.number"))
				if len(found) == 0 || found[0] > strconv.FormatUint(conn.First, 10) && len(found[0]) > 2 {
					t.Errorf("%s finds %v, not frame %d", conn.Filter, found, conn.First)
				}
			}
		})
	}
}

// TestAnnotated: tshark reads the packets with their comments, and the packets are
// those of the input.
func TestAnnotated(t *testing.T) {
	needTshark(t)
	file := "../../testdata/pcaps/close-wait-stuck.pcap"
	notes := filepath.Join(t.TempDir(), "notes.pcapng")
	var out, stderr bytes.Buffer
	if status := run([]string{"-f", "pcapng", "-o", notes, file}, &out, &stderr); status != statusOK || out.Len()+stderr.Len() > 0 {
		t.Fatalf("status %d: %s%s", status, out.String(), stderr.String())
	}
	fields := []string{"-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "ip.src", "-e", "tcp.seq_raw", "-e", "data"}
	want := tshark(t, append([]string{"-r", file}, fields...)...)
	if got := tshark(t, append([]string{"-r", notes}, fields...)...); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	comments := tshark(t, "-r", notes, "-T", "fields", "-e", "frame.number", "-e", "frame.comment")
	for _, want := range []string{
		"1\ttcplife, connection 1: client CLOSED -> SYN_SENT (sent)\n",
		"server ESTABLISHED -> CLOSE_WAIT (sent),tcplife, connection 1: warn close-wait of the server: in CLOSE_WAIT, silent for 1m3s\n",
		"\n5\t\n",
	} {
		if !strings.Contains(comments, want) {
			t.Errorf("no %q in\n%s", want, comments)
		}
	}
}
