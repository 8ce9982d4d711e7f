package script_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/script"
)

// scripts returns the connection scripts that the tracker is tested with.
func scripts(t *testing.T) map[string][]*script.Script {
	t.Helper()
	names, err := filepath.Glob("../../track/testdata/*.tcp")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	all := map[string][]*script.Script{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = script.Parse(string(text)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	all["every option"], _ = script.Parse(everyOption)
	return all
}

const everyOption = `
0 --> S 0:5(5) <mss 1460,wscale 7,sackOK,TS val 4294967295 ecr 0,tfo>
0 --> . 1:1(0) ack -5 win 7 <sack 5:10 20:30 1:2,TS val 1 ecr 2> {id 9 ttl 2}
0 --> . 1:1(0) ack 20 <sack 5:10>
0 --> P. 1:2(1) ack 1 <TS val 1 ecr 2> {cut}
0 --> P. 1:2(1) ack 1 {cut}
0 --> . 1:1(0) ack 1 {cut}
0 --> FSRP.UEW 1:1(0) ack 1
0 --> none 1:1000(999) {badsum}
0 --> . 1:1000(999) ack 2 {offload}
0 (udp)
-1 <-- icmp time-exceeded quoting 5 from 203.0.113.7
0 --> icmp prohibited quoting 5

A [2001:db8::1]:40000
B [2001:db8::2]:443
0 <-- S. 0:0(0) ack 1 <mss 1440> {ttl 9}
0 <-- P. 1:1002(1001) ack 1 {offload}
0 <-- icmp prohibited quoting 5 from 2001:db8::3
`

// TestDecodeInvertsWritePcap reads every script's pcap back.
func TestDecodeInvertsWritePcap(t *testing.T) {
	const isnA, isnB = 1<<32 - 1, 7
	for name, all := range scripts(t) {
		for _, s := range all {
			var buf bytes.Buffer
			if err := script.WritePcap(&buf, isnA, isnB, s); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r, err := capture.NewReader(&buf)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			d := decode.NewDecoder()
			var seg decode.Segment
			for _, want := range s.Events(isnA, isnB) {
				var p capture.Packet
				if err := r.Next(&p); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if p.Time != want.Time || p.Frame != want.Frame {
					t.Errorf("%s: frame %d at %v, want %d at %v", name, p.Frame, p.Time.UTC(), want.Frame, want.Time.UTC())
				}
				got := d.Decode(&p, &seg)
				switch {
				case want.Segment != nil && (got.Kind != decode.AsSegment || seg != *want.Segment):
					t.Errorf("%s: %s\n got %+v: %+v\nwant %+v", name, want.Step.What, got, seg, *want.Segment)
				case want.ICMP != nil && (got.Kind != decode.AsICMP || d.ICMP != *want.ICMP):
					t.Errorf("%s: %s\n got %+v: %+v\nwant %+v", name, want.Step.What, got, d.ICMP, *want.ICMP)
				case want.Segment == nil && want.ICMP == nil && got.Kind != decode.Skipped:
					t.Errorf("%s: %s: decoded", name, want.Step.What)
				}
			}
			if err := r.Next(new(capture.Packet)); !errors.Is(err, io.EOF) {
				t.Errorf("%s: after the last frame: %v", name, err)
			}
		}
	}
}
