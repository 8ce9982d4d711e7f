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

// TestFloodAnswered floods a tracker with SYNs that a server answers. The honest
// connections are silent meanwhile, and stay all the same.
func TestFloodAnswered(t *testing.T) {
	const limit, honest, sources = 8 << 20, 200, 100_000
	tr := New(Config{MaxBytes: limit})
	kept, evicted := 0, 0
	tr.Done = func(c *Conn) {
		switch {
		case c.EndReason == Evicted:
			evicted++
		case c.Server().Port() == 443 && c.Handshake() == Complete && c.Client().State() == Established:
			kept++
		}
	}
	frame := uint64(0)
	send := func(src, dst uint32, sp, dp uint16, f decode.Flags, seq, ack uint32) {
		frame++
		tr.Segment(&decode.Segment{
			Time: capture.Time(frame * 10_000), Frame: frame, Src: v4Mapped(src), Dst: v4Mapped(dst), SrcPort: sp, DstPort: dp,
			Flags: f, Seq: seq, Ack: ack, Wnd: 65535, Wire: 60,
		})
	}
	const server = 0xc0000202
	for i := range uint32(honest) {
		send(i, server, 1000, 443, decode.SYN, 0, 0)
		send(server, i, 443, 1000, decode.SYN|decode.ACK, 0, 1)
		send(i, server, 1000, 443, decode.ACK, 1, 1)
	}
	for i := range uint32(sources) {
		source := 10<<24 | i
		send(source, server, 1000, 80, decode.SYN, i, 0)
		send(server, source, 80, 1000, decode.SYN|decode.ACK, 7, i+1)
		if b := tr.Bytes(); b > limit*5/4 {
			t.Fatalf("took %d octets, may take %d", b, limit)
		}
	}
	tr.Finish()
	if kept != honest || evicted < sources/2 {
		t.Errorf("%d of %d honest connections were kept, %d others evicted", kept, honest, evicted)
	}
}
