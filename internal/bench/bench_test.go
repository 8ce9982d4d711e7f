//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tcplife/internal/bench/workload"
)

// The test binary is the bench too, since that starts itself.
func TestMain(m *testing.M) {
	if os.Getenv("TCPLIFE_BENCH") != "" {
		main()
		return
	}
	os.Exit(func() int {
		var err error
		if tmp, err = os.MkdirTemp("", "bench"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(tmp)
		return m.Run()
	}())
}

// small returns a bench of captures of a few kilobytes.
func small(t *testing.T) *bench {
	t.Helper()
	t.Setenv("TCPLIFE_BENCH", "1")
	b := &bench{cache: t.TempDir(), scale: 0.0005, rounds: 2}
	if err := b.check("", ""); err != nil {
		t.Fatal(err)
	}
	return b
}

// tcplife returns the program, which is built once.
func tcplife(t *testing.T) string {
	t.Helper()
	program := filepath.Join(tmp, "tcplife")
	if _, err := os.Stat(program); err != nil {
		if out, err := exec.Command("go", "build", "-o", program, "tcplife/cmd/tcplife").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return program
}

// tmp is removed after the last test.
var tmp string

// All of make bench. It fails where tcplife or the yardstick counts other than
// what was put in.
func TestRun(t *testing.T) {
	b := small(t)
	b.captures = filepath.Join("..", "..", "testdata", "pcaps")
	var out strings.Builder
	if err := b.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	report := out.String()
	for _, want := range []string{
		"| cpu, one worker, × yardstick | W1 | 1.10 × |",
		"| wall, all cores, × yardstick | W6 | 1.00 × |",
		"| W2 | tcplife, one worker, JSON lines |",
		"| W6 | tcplife, all cores |",
		"| W3 | SYN flood, every source distinct | 10,000 | 10,000 |",
		"| 5,000 | 30,000 |",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %s", want)
		}
	}
	if b.yardstick == "" {
		t.Log("no yardstick:", b.without)
		if !strings.Contains(report, "**No yardstick**: "+b.without) {
			t.Error("the report does not say so")
		}
	} else if strings.Contains(report, "not measured") {
		t.Error("a target was not measured")
	}
	if t.Failed() {
		t.Log(report)
	}
	if left, _ := filepath.Glob(filepath.Join(b.cache, "C*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Without a C compiler all the rest is measured.
func TestNoCompiler(t *testing.T) {
	b := small(t)
	b.only, b.tcplife = []string{"W2"}, tcplife(t)
	t.Setenv("CC", filepath.Join(t.TempDir(), "no-compiler"))
	var out strings.Builder
	if err := b.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"**No yardstick**: there is no C compiler", "| cpu, JSON lines × summary | W2 | 1.80 × | ", "not measured"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %s:\n%s", want, out.String())
		}
	}
}

// A program that counts wrong has no speed.
func TestWrongCount(t *testing.T) {
	b := small(t)
	b.only = []string{"W2"}
	b.tcplife = filepath.Join(t.TempDir(), "wrong")
	const script = `#!/bin/sh
echo "x.pcap: pcap ethernet, 6,030 packets, 1MB"
echo "500 connections: 500 closed"
`
	if err := os.WriteFile(b.tcplife, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	err := b.run(t.Context(), &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "counted, there are") {
		t.Error(err)
	}
}

// Whoever has waited for half an hour, and ends it, gets what was measured.
func TestInterrupted(t *testing.T) {
	b := small(t)
	b.only, b.tcplife = []string{"W2", "W3"}, filepath.Join(t.TempDir(), "slow")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const script = "#!/bin/sh\ncase $* in *W3*) touch %s; exec sleep 60;; *) exec %s \"$@\";; esac\n"
	there := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(b.tcplife, fmt.Appendf(nil, script, there, tcplife(t)), 0o755); err != nil {
		t.Fatal(err)
	}
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(there); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	var out strings.Builder
	if err := b.run(ctx, &out); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "| W2 | "+oneWorker+" |") || strings.Contains(out.String(), "| W3 | "+oneWorker+" |") {
		t.Errorf("reported: %s", out.String())
	}
}

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		b           bench
		only, peers string
		want        string
	}{
		{bench{scale: 0, rounds: 1}, "", "", "-scale 0"},
		{bench{scale: 2, rounds: 1}, "", "", "-scale 2"},
		{bench{scale: 1, rounds: 0}, "", "", "-rounds 0"},
		{bench{scale: 1, rounds: 1}, "W7", "", "-only W7: there are W6, curve, W1,"},
		{bench{scale: 1, rounds: 1}, "W1,W6", "", "-captures names"},
		{bench{scale: 1, rounds: 1}, "", "rm", "there are tcpdump"},
	} {
		test.b.cache = t.TempDir()
		if err := test.b.check(test.only, test.peers); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

func TestMakeOnly(t *testing.T) {
	b := small(t)
	if err := b.check("W1,W5,C50", ""); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := b.makeAll(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), " packets, 42 connections, "); got != 2 || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("told: %s", out.String())
	}
	if made, _ := filepath.Glob(filepath.Join(b.cache, "*.pcap*")); len(made) != 6 { // and the truth of each
		t.Errorf("made %v", made)
	}
}

// What a summary lacks: the control bits and octets of every connection, in JSON.
func TestJSONAgrees(t *testing.T) {
	dir, tcplife := t.TempDir(), tcplife(t)
	for _, w := range append(workload.Standard(0.001), workload.Curve(0.001)...) {
		path, truth, err := workload.Make(w, dir)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tcplife, "--format", "jsonl", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		type end struct {
			SYN, FIN, RST uint64
			Packets       uint64
			PayloadBytes  uint64 `json:"payload_bytes"`
		}
		var got workload.Truth
		for line := range strings.Lines(string(out)) {
			var record struct{ Type string }
			var conn struct{ Client, Server end }
			var summary struct {
				Packets  uint64
				Outcomes map[string]uint64
			}
			err := json.Unmarshal([]byte(line), &record)
			switch record.Type {
			case "connection":
				err = json.Unmarshal([]byte(line), &conn)
				got.Connections++
				for _, e := range []end{conn.Client, conn.Server} {
					got.SYN += e.SYN
					got.FIN += e.FIN
					got.RST += e.RST
					got.Segments += e.Packets
					got.PayloadBytes += e.PayloadBytes
				}
			case "summary":
				err = json.Unmarshal([]byte(line), &summary)
				got.Packets, got.Outcomes = summary.Packets, summary.Outcomes
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		got.Retransmits, got.Bytes = truth.Retransmits, truth.Bytes // what "retransmits" counts is more
		if !maps.Equal(got.Outcomes, truth.Outcomes) {
			t.Errorf("%s: tcplife has outcomes %v, the truth is %v", w.Name, got.Outcomes, truth.Outcomes)
		}
		g, _ := json.Marshal(got)
		v, _ := json.Marshal(truth)
		if !slices.Equal(g, v) {
			t.Errorf("%s: tcplife counts\n%s, the truth is\n%s", w.Name, g, v)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 12345678: "12,345,678"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
