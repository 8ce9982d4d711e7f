package track

import (
	"testing"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// TestResetIdle holds how long a RST says that nothing came before it: of the first
// segment of all, nothing.
func TestResetIdle(t *testing.T) {
	start := capture.Time(1_700_000_000e9)
	seg := decode.Segment{
		Time: start, Frame: 1, Wire: 60, Src: decode.Addr{15: 1}, Dst: decode.Addr{15: 2}, SrcPort: 40000, DstPort: 80,
		Flags: decode.RST | decode.ACK, Seq: 1, Ack: 1, Checksum: decode.ChecksumGood,
	}
	first := seg
	first.Flags = decode.ACK
	later := seg
	later.Time, later.Frame = start.Add(3*time.Second), 2
	for _, tt := range []struct {
		segments []decode.Segment
		want     time.Duration
	}{
		{[]decode.Segment{seg}, 0},
		{[]decode.Segment{first, later}, 3 * time.Second},
	} {
		tr := New(Config{})
		tr.Done = func(c *Conn) {
			if r, ok := c.Reset(); !ok || r.Idle != tt.want {
				t.Errorf("%d segments: %v, %v, want %v", len(tt.segments), r.Idle, ok, tt.want)
			}
		}
		for i := range tt.segments {
			tr.Segment(&tt.segments[i])
		}
		tr.Finish()
	}
}
