package track

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// FuzzTracker feeds a tracker any segments: it must not panic, its clock must not
// go back, each end's moves must be arrows of Figure 5 in a chain, or a RST's,
// TIME_WAIT must last, and every connection must be handed over once.
func FuzzTracker(f *testing.F) {
	for start, flags := range [][]byte{
		{0x02, 0x12, 0x10, 0x11, 0x11, 0x10},
		{0x02, 0x12, 0x10, 0x18, 0x04},
		{0x02, 0x02, 0x12, 0x12},
		{0x10, 0x10, 0x11, 0x11, 0x14},
		{0x02, 0x14, 0x02, 0x12, 0x02},
		{0x00, 0x29, 0x01, 0x03, 0x06},
	} {
		in := []byte{byte(start)}
		for i, fl := range flags {
			in = append(in, fl, byte(i%2), byte(i*7), byte(i), byte(i+1), 10, 1, 0, 0)
		}
		f.Add(in)
	}
	// A whole life, and a clock that is set back in TIME_WAIT.
	in := []byte{0}
	for i, l := range [][4]byte{
		{0x02, 0, 0x40, 0},
		{0x12, 1, 0x20, 0x41},
		{0x10, 0, 0x41, 0x21},
		{0x11, 0, 0x41, 0x21},
		{0x11, 1, 0x21, 0x42},
		{0x10, 0, 0x42, 0x22},
	} {
		in = append(in, l[0], l[1], l[2], l[3], 0, 10, byte(i), 0, 0)
	}
	in = append(in, 0xff, 0, 0, 0, 0, 0, 0, 0, 1)
	for range 2 * stepFrames {
		in = append(in, 0xff, 0, 0, 0, 0, 0, 252, 0, 0)
	}
	f.Add(in)
	// Holes, more than are kept, and octets that fill the last of them.
	in = []byte{0}
	for i := range byte(24) {
		in = append(in, 0x10, 0, 0x41+4*i, 0x21, 2, 10, 1, 0, 0)
	}
	for i := range byte(24) {
		in = append(in, 0x10, 0, 0x42+4*i, 0x21, 1, 10, 1, 0, 0)
	}
	f.Add(in)
	f.Fuzz(trackAny)
}

// fuzzStarts are times at which a capture may begin: at the limits of what a time
// can be, an ordinary one, and where none was recorded.
var fuzzStarts = []capture.Time{1_700_000_000e9, 1, 0, math.MaxInt64 - 1e12, math.MaxInt64, -1e12, math.MinInt64}

func trackAny(t *testing.T, in []byte) {
	trackAs(t, in, Config{})
	trackAs(t, in, Config{History: true})
	trackAs(t, in, Config{ZeekSplit: true})
}

func trackAs(t *testing.T, in []byte, cfg Config) {
	tr := New(cfg)
	open := map[uint64]bool{}
	tr.Observe = func(c *Conn, _ *decode.Segment, n Notes) {
		open[c.ID] = true
		_ = n.String()
		checkConn(t, tr, c)
	}
	tr.Done = func(c *Conn) {
		checkConn(t, tr, c)
		if z, ok := c.Zeek(); ok != (cfg.History || cfg.ZeekSplit) || ok && z.State == "" {
			t.Errorf("connection %d: %+v, %v", c.ID, z, ok)
		}
		if !open[c.ID] {
			t.Errorf("connection %d handed over twice, or never observed", c.ID)
		}
		delete(open, c.ID)
	}
	if len(in) == 0 {
		return
	}
	now := fuzzStarts[int(in[0])%len(fuzzStarts)]
	in = in[1:]
	for frame := uint64(1); len(in) >= fuzzOctets; frame++ {
		seg, step := fuzzSegment(in)
		in = in[fuzzOctets:]
		now = now.Add(step)
		seg.Time, seg.Frame = now, frame
		clock := tr.clock.now
		switch seg.Flags {
		case 0xff:
			tr.Tick(seg.Time, frame)
		case 0xfe:
			tr.ICMP(&decode.ICMPError{
				Time: now, Frame: frame, Type: 3, Code: 1, Src: seg.Src, Dst: seg.Dst,
				SrcPort: seg.SrcPort, DstPort: seg.DstPort, Seq: seg.Seq, Context: seg.Context,
			})
		default:
			tr.Segment(&seg)
		}
		if tr.clock.now < clock {
			t.Fatalf("the clock went back from %d to %d", clock, tr.clock.now)
		}
		if !tr.only().store.scratch.Plain() {
			t.Fatalf("frame %d left something in the Conn that all share", frame)
		}
	}
	tr.Finish()
	if len(open) > 0 {
		t.Errorf("connections never handed over: %v", open)
	}
	if n, rare := tr.only().zeek.conns.Len(), tr.only().zeek.rares.Len(); n != 0 || rare != 0 {
		t.Errorf("%d and %d records of Zeek's are left", n, rare)
	}
}

// fuzzOctets is how many octets make a segment.
const fuzzOctets = 9

// fuzzSegment makes a segment of the first octets, most of them near each other in
// sequence space, so that they often fit. It tells how long after the one before it
// was captured.
func fuzzSegment(b []byte) (decode.Segment, time.Duration) {
	seg := decode.Segment{Flags: decode.Flags(b[0]), Wnd: uint16(b[5]) << 3, Wire: 60}
	a, z := decode.Addr{15: 1}, decode.Addr{15: 2}
	seg.Src, seg.Dst, seg.SrcPort, seg.DstPort = a, z, 40000+uint16(b[7]>>5&1), 80
	if b[1]&1 != 0 {
		seg.Src, seg.Dst, seg.SrcPort, seg.DstPort = seg.Dst, seg.Src, seg.DstPort, seg.SrcPort
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
	if b[1]&32 != 0 {
		seg.Opts |= decode.OptFastOpen
	}
	seg.Checksum = [...]decode.Checksum{decode.ChecksumGood, decode.ChecksumUnknown, decode.ChecksumOffload, decode.ChecksumBad}[b[7]&3]
	if b[7]&4 != 0 {
		seg.Cut, seg.Checksum = true, decode.ChecksumUnknown
		seg.Opts = decode.OptUnknown
	}
	if b[7]&8 != 0 {
		seg.Wnd, seg.NoWnd = 0, true
	}
	if b[7]&16 != 0 {
		seg.Opts |= decode.OptMSS
		seg.MSS = uint16(b[5]) << 3
	}
	seg.Context = uint32(b[7] >> 6 & 1)
	step := time.Duration(binary.LittleEndian.Uint16(b[5:])) * time.Microsecond
	if b[6] > 250 {
		step = time.Duration(b[6]-248) * 10 * time.Second
	}
	if b[6] == 250 {
		step = -time.Second
	}
	switch b[8] {
	case 1:
		step = -3 * time.Hour
	case 2:
		step = 30 * 24 * time.Hour
	case 3:
		step = math.MaxInt64
	case 4:
		step = math.MinInt64
	}
	return seg, step
}

// checkConn holds a connection to what must be true of any.
func checkConn(t *testing.T, tr *Tracker, c *Conn) {
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
			if m.Basis == Timer && tr.clock.skew == 0 && (m.Time != e.timeWait().Add(tr.config.TimeWait) || m.Time.Sub(moves[i-1].Time) < tr.config.TimeWait) {
				t.Fatalf("connection %d: TIME_WAIT at %d, CLOSED by the clock at %d", c.ID, moves[i-1].Time, m.Time)
			}
		}
		if n := len(moves); n > 0 && moves[n-1].To != e.State() {
			t.Fatalf("connection %d: in %v after a move to %v", c.ID, e.State(), moves[n-1].To)
		}
		if e.MayBe(tr.Now()).Has(e.State()) {
			t.Fatalf("connection %d: may be in %v, where it is", c.ID, e.State())
		}
	}
	for i := range c.ends {
		n := 0
		for _, h := range c.holes {
			if h.of == c.index(&c.ends[i]) {
				n++
			}
		}
		if n != int(c.ends[i].holes) || n > maxHoles {
			t.Fatalf("connection %d: an end has %d holes, and counts %d", c.ID, n, c.ends[i].holes)
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
