package track

import (
	"testing"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// TestMemoryLimit floods a tracker, with SYNs and with segments of connections
// that it never saw begin: it keeps to its limit, evicts the longest idle, loses no
// record, and an honest connection that is in use lives on.
func TestMemoryLimit(t *testing.T) {
	const limit = 8 << 20
	for name, flood := range map[string]decode.Segment{
		"unanswered":  {Flags: decode.SYN, Wire: 60},
		"mid-stream":  {Flags: decode.ACK, Ack: 1, Wire: 60},
		"invalid":     {Flags: decode.SYN | decode.FIN, Wire: 60},
		"with a tail": {Flags: decode.SYN, Len: 10, Wire: 70},
	} {
		t.Run(name, func(t *testing.T) {
			tr := New(Config{MaxBytes: limit})
			records, evicted, honest := map[uint64]bool{}, 0, 0
			tr.Done = func(c *Conn) {
				if records[c.ID] {
					t.Fatalf("connection %d handed over twice", c.ID)
				}
				records[c.ID] = true
				if c.EndReason == Evicted {
					evicted++
				}
				if c.Server().Port() == 443 {
					honest++
					if c.EndReason != CaptureEnd || c.Client().State() != Established {
						t.Errorf("the honest connection: %v, %v", c.EndReason, c.Client().State())
					}
				}
			}
			frame, now := uint64(0), capture.Time(1)
			send := func(seg decode.Segment) {
				frame++
				now = now.Add(10 * time.Microsecond)
				seg.Frame, seg.Time = frame, now
				tr.Segment(&seg)
			}
			a, b := v4Mapped(0xc0000201), v4Mapped(0xc0000202)
			send(decode.Segment{Src: a, Dst: b, SrcPort: 1000, DstPort: 443, Flags: decode.SYN, Wnd: 65535})
			send(decode.Segment{Src: b, Dst: a, SrcPort: 443, DstPort: 1000, Flags: decode.SYN | decode.ACK, Ack: 1, Wnd: 65535})
			peak := 0
			const n = 200_000
			for i := range n {
				seg := flood
				seg.Src, seg.Dst = v4Mapped(10<<24|uint32(i)), b
				seg.SrcPort, seg.DstPort, seg.Seq = uint16(i), 80, uint32(i)
				send(seg)
				if i%1000 == 0 {
					send(decode.Segment{Src: a, Dst: b, SrcPort: 1000, DstPort: 443, Flags: decode.ACK, Seq: 1, Ack: 1, Wnd: 65535})
				}
				peak = max(peak, tr.Bytes())
			}
			tr.Finish()
			if peak > limit*5/4 {
				t.Errorf("took %d octets, may take %d", peak, limit)
			}
			if len(records) != n+1 || honest != 1 || evicted < n/3 {
				t.Errorf("%d records, %d of them evicted, %d honest", len(records), evicted, honest)
			}
		})
	}
}
