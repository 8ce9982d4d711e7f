package decode

import "testing"

// TestStreams: a stream is a pair of addresses and ports, until a SYN comes with
// another number than its sender began with.
func TestStreams(t *testing.T) {
	a, b, other := Addr{15: 1}, Addr{15: 2}, Addr{15: 3}
	there := func(f Flags, seq, ack uint32) Segment {
		return Segment{Src: a, Dst: b, SrcPort: 40000, DstPort: 80, Flags: f, Seq: seq, Ack: ack}
	}
	back := func(f Flags, seq, ack uint32) Segment {
		return Segment{Src: b, Dst: a, SrcPort: 80, DstPort: 40000, Flags: f, Seq: seq, Ack: ack}
	}
	streams := NewStreams()
	for i, step := range []struct {
		seg  Segment
		want uint32
	}{
		{there(SYN, 100, 0), 0},
		{back(SYN|ACK, 500, 101), 0},
		{Segment{Src: a, Dst: other, SrcPort: 40000, DstPort: 80, Flags: SYN}, 1},
		{there(ACK, 101, 501), 0},
		{there(RST, 101, 0), 0},
		{there(SYN, 100, 0), 0},        // the same number
		{there(SYN, 9000, 0), 2},       // another one
		{back(SYN|ACK, 777, 9001), 2},  // a SYN,ACK begins none
		{back(SYN|ACK, 999, 9001), 2},  // whatever its number
		{back(SYN, 776, 0), 3},         // a SYN of the other end
		{there(ACK, 9001, 778), 3},     // the latest goes on
		{back(SYN, 776, 0), 3},         //
		{there(SYN|FIN, 9000, 778), 3}, // what the ACK let it have begun with
		{there(SYN|FIN, 9001, 778), 4},
	} {
		if got, ok := streams.Segment(&step.seg); !ok || got != step.want {
			t.Errorf("step %d: stream %d, %v, want %d", i, got, ok, step.want)
		}
	}
	streams.ICMP(&ICMPError{Src: a, Dst: b, SrcPort: 40000, DstPort: 80})
	streams.ICMP(&ICMPError{Src: b, Dst: other, SrcPort: 1, DstPort: 2}) // of a segment that was not captured
	next := Segment{Src: other, Dst: b, SrcPort: 2, DstPort: 1, Flags: SYN}
	if got, _ := streams.Segment(&next); got != 5 {
		t.Errorf("quoted by ICMP: stream %d, want 5", got)
	}
	next.DstPort++
	if got, _ := streams.Segment(&next); got != 6 {
		t.Errorf("the next has stream %d, want 6", got)
	}
}

// TestStreamsMany: every stream keeps its number while the table grows.
func TestStreamsMany(t *testing.T) {
	streams := NewStreams()
	const n = 5000
	for range 2 {
		for i := range uint32(n) {
			seg := Segment{Src: Addr{14: byte(i >> 8), 15: byte(i)}, Dst: Addr{15: 1}, SrcPort: uint16(i), DstPort: 80, Flags: SYN, Seq: i}
			if got, ok := streams.Segment(&seg); !ok || got != i {
				t.Fatalf("stream %d, %v, want %d", got, ok, i)
			}
		}
	}
	if streams.n != n || len(streams.known) > 4*n {
		t.Errorf("%d streams in a table of %d", streams.n, len(streams.known))
	}
}

// TestStreamsBounded: what is of more streams than are followed has no number.
func TestStreamsBounded(t *testing.T) {
	streams := NewStreams()
	known := Segment{Src: Addr{15: 2}, Dst: Addr{15: 1}, Flags: SYN}
	streams.Segment(&known)
	streams.n = maxStreams
	if n, ok := streams.Segment(&Segment{Src: Addr{15: 3}, Dst: Addr{15: 1}, Flags: SYN}); ok {
		t.Errorf("stream %d", n)
	}
	streams.ICMP(&ICMPError{Src: Addr{15: 3}, Dst: Addr{15: 1}})
	known.Seq = 77
	if n, ok := streams.Segment(&known); !ok || n != 1 {
		t.Errorf("stream %d, %v, want 1", n, ok)
	}
}
