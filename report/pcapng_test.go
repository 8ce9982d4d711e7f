package report

import (
	"bytes"
	"strings"
	"testing"

	"tcplife/decode/capture"
	"tcplife/report/anomaly"
)

// TestAnnotated: what is told of a frame stands with it, whatever it holds, and what
// has no room is counted.
func TestAnnotated(t *testing.T) {
	var out bytes.Buffer
	s := newAnnotated(&out, Options{}).(*annotated)
	f := &Finding{Capture: "a.pcap"}
	f.Rule, f.Severity, f.Message, f.Packets = anomaly.CloseWait, anomaly.Error, hostile, []uint64{2, 3}
	if err := s.Finding(f); err != nil {
		t.Fatal(err)
	}
	s.moves = make([]moveNote, maxNotes)
	if err := s.Connection(aConnection(t)); err != nil {
		t.Fatal(err)
	}
	if s.LeftOut() == 0 || len(s.moves) != maxNotes {
		t.Errorf("%d comments are left out, %d kept", s.LeftOut(), len(s.moves))
	}
	s.moves = nil
	for frame := range uint64(3) {
		if err := s.Packet(&capture.Packet{Frame: frame + 1, LinkType: 1, Data: []byte("packet")}, hostile); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "tcplife: error close-wait: "); n != 2 {
		t.Errorf("%d comments, want 2", n)
	}
	for _, bad := range []string{"\x1b[31m", "\u2028", "\u009b"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q is written", bad)
		}
	}
}
