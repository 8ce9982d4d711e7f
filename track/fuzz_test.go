package track

import (
	"encoding/binary"
	"testing"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// FuzzTracker feeds a tracker any segments: it must not panic, its clock must not
// go back, each end's moves must be arrows of Figure 5 in a chain, or a RST's,
// and every connection must be handed over once.
func FuzzTracker(f *testing.F) {
	for _, flags := range [][]byte{
		{0x02, 0x12, 0x10, 0x11, 0x11, 0x10},
		{0x02, 0x12, 0x10, 0x18, 0x04},
		{0x02, 0x02, 0x12, 0x12},
		{0x10, 0x10, 0x11, 0x11, 0x14},
		{0x02, 0x14, 0x02, 0x12, 0x02},
		{0x00, 0x29, 0x01, 0x03, 0x06},
	} {
		var in []byte
		for i, fl := range flags {
			in = append(in, fl, byte(i%2), byte(i*7), byte(i), byte(i+1), 10, 1)
		}
		f.Add(in)
	}
	f.Fuzz(trackAny)
}

func trackAny(t *testing.T, in []byte) {
	tr := New(Config{})
	open := map[uint64]bool{}
	tr.Observe = func(c *Conn, _ *decode.Segment, n Notes) {
		open[c.ID] = true
		_ = n.String()
		checkConn(t, c)
		checkSmall(t, c)
	}
	tr.Done = func(c *Conn) {
		checkConn(t, c)
		if !open[c.ID] {
			t.Errorf("connection %d handed over twice, or never observed", c.ID)
		}
		delete(open, c.ID)
	}
	now := capture.Time(1)
	for frame := uint64(1); len(in) >= 7; frame++ {
		seg, step := fuzzSegment(in[:7])
		in = in[7:]
		now = now.Add(step)
		seg.Time, seg.Frame = now, frame
		clock := tr.Now()
		switch {
		case in != nil && seg.Flags == 0xff:
			tr.Tick(seg.Time, frame)
		case seg.Flags == 0xfe:
			tr.ICMP(&decode.ICMPError{
				Time: now, Frame: frame, Type: 3, Code: 1, Src: seg.Src, Dst: seg.Dst,
				SrcPort: seg.SrcPort, DstPort: seg.DstPort, Seq: seg.Seq,
			})
		default:
			tr.Segment(&seg)
		}
		if tr.Now() < clock {
			t.Fatalf("the clock went back from %d to %d", clock, tr.Now())
		}
	}
	tr.Finish()
	if len(open) > 0 {
		t.Errorf("connections never handed over: %v", open)
	}
}

// fuzzSegment makes a segment of seven octets, most of them near each other in
// sequence space, so that they often fit.
func fuzzSegment(b []byte) (decode.Segment, time.Duration) {
	seg := decode.Segment{Flags: decode.Flags(b[0]), Wnd: uint16(b[5]) << 3, Wire: 60}
	a, z := decode.Addr{15: 1}, decode.Addr{15: 2}
	seg.Src, seg.Dst, seg.SrcPort, seg.DstPort = a, z, 40000, 80
	if b[1]&1 != 0 {
		seg.Src, seg.Dst, seg.SrcPort, seg.DstPort = z, a, 80, 40000
	}
	num := func(x byte, base uint32) uint32 {
		if x >= 0xf8 {
			return base + uint32(x&7)<<29
		}
		return base + uint32(x)
	}
	seg.Seq, seg.Ack = num(b[2], 0xffffffc0), num(b[3], 0xffffffe0)
	if b[1]&1 != 0 {
		seg.Seq, seg.Ack = num(b[2], 0xffffffe0), num(b[3], 0xffffffc0)
	}
	seg.Len = uint32(b[4] & 15)
	if b[1]&2 != 0 {
		seg.Opts, seg.TSVal = decode.OptTimestamps, uint32(b[4]>>4)
	}
	if b[1]&4 != 0 {
		seg.IPID, seg.HasIPID = uint16(b[4])+1, true
	}
	if b[1]&8 != 0 {
		seg.Opts |= decode.OptSACK
		seg.SACKEdge = seg.Ack + uint32(b[5])
	}
	if b[1]&16 != 0 {
		seg.Opts |= decode.OptScale
		seg.Scale = b[5] & 15 % 15
	}
	step := time.Duration(binary.LittleEndian.Uint16(b[5:])) * time.Microsecond
	if b[6] > 250 {
		step = time.Duration(b[6]-248) * 10 * time.Second
	}
	if b[6] == 250 {
		step = -time.Second
	}
	return seg, step
}

// checkConn holds a connection to what must be true of any.
func checkConn(t *testing.T, c *Conn) {
	t.Helper()
	for _, e := range c.Ends() {
		moves := e.Transitions()
		for i, m := range moves {
			if i > 0 && moves[i-1].To != m.From {
				t.Fatalf("connection %d: a move to %v, then one from %v", c.ID, moves[i-1].To, m.From)
			}
			cover := i == len(moves)-1 && e.cover.on && m.To == Closed
			if !cover && next[m.From][m.move] != m.To {
				t.Fatalf("connection %d: no arrow leads from %v to %v", c.ID, m.From, m.To)
			}
		}
		if n := len(moves); n > 0 && moves[n-1].To != e.State() {
			t.Fatalf("connection %d: in %v after a move to %v", c.ID, e.State(), moves[n-1].To)
		}
		if e.MayBe(c.End).Has(e.State()) {
			t.Fatalf("connection %d: may be in %v, where it is", c.ID, e.State())
		}
	}
	_, _, _, _ = c.Handshake(), c.Teardown(), c.ClosedFirst(), c.OneSided()
	if len(c.held) > maxHeld || len(c.candidates) > maxCandidates || len(c.withdrawals) > maxWithdrawals {
		t.Fatalf("connection %d holds too much", c.ID)
	}
}

// TestNoAllocation holds a tracker that has its connections to no allocation per
// segment.
func TestNoAllocation(t *testing.T) {
	tr := New(Config{})
	frame, now := uint64(0), capture.Time(1)
	var s decode.Segment
	isn := uint32(0)
	life := func() {
		isn += 100000
		type line struct {
			server   bool
			flags    decode.Flags
			seq, ack uint32
			n        uint32
		}
		for _, l := range []line{
			{false, decode.SYN, 0, 0, 0},
			{true, decode.SYN | decode.ACK, 0, 1, 0},
			{false, decode.ACK, 1, 1, 0},
			{false, decode.ACK | decode.PSH, 1, 1, 100},
			{true, decode.ACK | decode.PSH, 1, 101, 1000},
			{false, decode.ACK | decode.FIN, 101, 1001, 0},
			{true, decode.ACK | decode.FIN, 1001, 102, 0},
			{false, decode.ACK, 102, 1002, 0},
		} {
			frame++
			now = now.Add(10 * time.Millisecond)
			s = decode.Segment{
				Time: now, Frame: frame, Src: decode.Addr{15: 1}, Dst: decode.Addr{15: 2}, SrcPort: 40000, DstPort: 80,
				Flags: l.flags, Seq: l.seq + isn, Ack: l.ack, Len: l.n, Wnd: 65535, Wire: 60 + l.n,
			}
			if l.server {
				s.Src, s.Dst, s.SrcPort, s.DstPort = s.Dst, s.Src, s.DstPort, s.SrcPort
				s.Seq, s.Ack = l.seq, l.ack+isn
			}
			tr.Segment(&s)
		}
		now = now.Add(2 * time.Minute)
		frame++
		tr.Tick(now, frame)
	}
	done := 0
	tr.Done = func(c *Conn) {
		done++
		if c.EndReason != TimeWaitOver || c.Teardown() != ByFIN {
			t.Fatalf("connection %d: %v, %v", c.ID, c.EndReason, c.Teardown())
		}
	}
	for range 3 {
		life()
	}
	if n := testing.AllocsPerRun(100, life); n != 0 {
		t.Errorf("%v allocations per connection, want none", n)
	}
	if done < 100 {
		t.Errorf("%d connections handed over", done)
	}
}
