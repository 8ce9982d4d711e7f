package anomaly_test

import (
	"testing"
	"time"

	"tcplife/decode"
	"tcplife/report/anomaly"
)

// TestFlaws gives the rules about captures one that has nothing wrong, and one with
// each flaw.
func TestFlaws(t *testing.T) {
	flawed := map[string]struct {
		anomaly.Flaws
		want string
	}{
		"one-sided":  {anomaly.Flaws{Unseen: anomaly.Unseen{OneSided: 3}}, "3 of 40 connections seen in one direction only: the other end's states are what its peer's segments prove"},
		"gaps":       {anomaly.Flaws{Unseen: anomaly.Unseen{Gaps: 1}}, "1 time a segment was acknowledged that was not captured: what it did is inferred"},
		"duplicates": {anomaly.Flaws{Unseen: anomaly.Unseen{Duplicates: 1000}}, "1,000 segments captured twice, counted once: retransmissions as quick would be missed"},
		"started-late": {
			anomaly.Flaws{Unseen: anomaly.Unseen{Midstream: 12}}, "12 of 40 connections in mid-stream when first seen: how they were opened is not known",
		},
		"cut-short":       {anomaly.Flaws{Cut: 5}, "5 of 1,000 packets captured in part, as the snap length is: checksums not verified"},
		"clock-backwards": {anomaly.Flaws{StepsBack: 2, LargestStep: time.Second}, "the clock stepped back 2 times, by 1s at most: durations across that are wrong"},
		"bad-checksum": {
			anomaly.Flaws{Checksums: [decode.NumChecksums]uint64{decode.ChecksumGood: 7, decode.ChecksumBad: 2}, BadLeftOut: 2},
			"2 of 9 checksums wrong: 2 segments left out",
		},
	}
	clean := anomaly.Flaws{Checksums: [decode.NumChecksums]uint64{decode.ChecksumGood: 900, decode.ChecksumOffload: 100}}
	for _, r := range anomaly.All {
		if r.Flaw == nil {
			continue
		}
		if got := r.Flaw(&clean, 1000, 40); got != "" {
			t.Errorf("%s: %q of a clean capture", r.Name, got)
		}
		f, ok := flawed[r.Name]
		if got := r.Flaw(&f.Flaws, 1000, 40); !ok || got != f.want {
			t.Errorf("%s: %q, want %q", r.Name, got, f.want)
		}
	}
}
