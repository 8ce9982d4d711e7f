package track

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// Connections are kept in three sizes. A Conn is what the code works on; it is
// large, and holds pointers. Between segments a common connection is kept as a
// smallConn, and an attempt of one SYN as a loneSYN: pointer-free records in
// arenas, a third and a twentieth of its size, which the garbage collector never
// looks at. What does not fit exactly is kept as the Conn that it is, so that
// nothing else needs to know.

// A smallConn is a Conn of which only the common fields are in use.
type smallConn struct {
	key       key
	id        uint64
	start     capture.Time
	first     uint64 // frame; all others lie less than 2^32 after it
	place     uint32
	captured  uint32
	stream    uint32
	hash      uint32
	over      offset
	dups      uint16
	flags     uint16
	complete  Completeness
	roleBasis RoleBasis
	client    uint8
	ends      [2]smallEnd
}

// Flags of a smallConn.
const (
	smallSwapped uint16 = 1 << iota // the first end is the key's second
	smallFastOpen
	smallAcked
	smallIsOver
	smallQueued
	smallLastIsSecond // the second end sent the last segment
)

// maxSmallMoves are the moves of a whole life: to SYN_SENT, ESTABLISHED,
// FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT.
const maxSmallMoves = 5

// A smallEnd is an End whose rareEnd is zero.
type smallEnd struct {
	packets, bytes, payload   uint32
	iss, una, nxt, edge       uint32
	tsRecent, tsVal, lastSeq  uint32
	probeEnd, rtt, least      uint32 // rtt and least in ns
	finSeq, copyTS            uint32 // of the copy of its FIN, or else of its SYN
	flags                     uint32
	ipID, copyID              uint16
	wnd, synWnd, mss          uint16
	times                     [smallTimes]uint32 // offsets' lower halves: sent, data, probe, moves
	timesHi                   [smallTimes]uint16
	frames                    [smallTimes]uint32
	moves                     [maxSmallMoves]uint8 // the move in the upper six bits, the basis in the lower two
	n, initial, scale         uint8
	minTTL, maxTTL, idSteps   uint8
	syn, fin, rst, retransmit uint8
}

// Where the times and frames of a smallEnd are.
const (
	smallSent = iota
	smallDataAt
	smallProbe
	smallMoves
	smallTimes = smallMoves + maxSmallMoves
)

// An offset is a time since the connection's start: 48 bits of nanoseconds, 78
// hours.
type offset struct {
	lo uint32
	hi uint16
}

func (o offset) after(start capture.Time) capture.Time {
	return start + capture.Time(uint64(o.hi)<<32|uint64(o.lo))
}

// set keeps a time and a frame at place i.
func (s *smallEnd) set(i int, t capture.Time, frame uint64, p *packer) {
	o := p.time(t)
	s.times[i], s.timesHi[i], s.frames[i] = o.lo, o.hi, p.frame(frame)
}

// at returns the time and the frame that were set at place i.
func (s *smallEnd) at(i int, c *smallConn) (capture.Time, uint64) {
	return offset{s.times[i], s.timesHi[i]}.after(c.start), c.first + uint64(s.frames[i])
}

// A packer makes offsets; ok turns false where something does not fit.
type packer struct {
	start capture.Time
	first uint64
	ok    bool
}

func (p *packer) time(t capture.Time) offset {
	d := uint64(t - p.start)
	p.ok = p.ok && d < 1<<48
	return offset{uint32(d), uint16(d >> 32)}
}

func (p *packer) frame(f uint64) uint32 {
	d := f - p.first
	p.ok = p.ok && d < 1<<32
	return uint32(d)
}

func (p *packer) u32(n uint64) uint32 { p.ok = p.ok && n < 1<<32; return uint32(n) }
func (p *packer) u8(n uint32) uint8   { p.ok = p.ok && n < 1<<8; return uint8(n) }

func (p *packer) must(ok bool) { p.ok = p.ok && ok }

// Flags of a smallEnd.
const (
	smallIssKnown uint32 = 1 << iota
	smallSentSYN
	smallNxtKnown
	smallUnaKnown
	smallEdgeKnown
	smallJumped
	smallActed
	smallAckedFIN
	smallZeroWnd
	smallKeptAlive
	smallSumsRight
	smallOfferedTS
	smallKnownTS
	smallAcks
	smallCounted
	smallProbing
	smallData
	smallFIN
	smallFINAcksPeer
	smallLastHasTS
	smallLastHasID
	smallCopyHasTS
	smallCopyHasID
	smallTimeWaitSent // TIME_WAIT began again with its last segment
)

func bit(b bool, f uint32) uint32 {
	if b {
		return f
	}
	return 0
}

// pack makes s what c is. It reports false, and leaves s undefined, if c does not
// fit; unpacking gives back an equal Conn otherwise.
func (s *smallConn) pack(c *Conn) bool {
	if c.older != nil || c.Midstream || c.gaps != 0 || c.withdrawn != 0 || c.rareConn != (rareConn{}) || len(c.refuted)+len(c.blind)+len(c.held)+len(c.holes)+len(c.withdrawals)+len(c.candidates)+len(c.answer) != 0 ||
		c.ends[0].rareEnd != (rareEnd{}) || c.ends[1].rareEnd != (rareEnd{}) {
		return false
	}
	p := packer{start: c.Start, first: c.First, ok: true}
	s.key, s.id, s.start, s.first = c.key, c.ID, c.Start, c.First
	s.hash, s.place, s.captured, s.stream = c.hash, p.u32(uint64(c.place)), c.captured, c.stream
	p.must(c.duplicates < 1<<16)
	s.dups, s.complete, s.roleBasis, s.client = uint16(c.duplicates), c.completeness, c.RoleBasis, c.client
	s.flags = 0
	a, b := &c.ends[0], &c.ends[1]
	if a.addr != c.key.a || a.port != c.key.ap || b.addr != c.key.b || b.port != c.key.bp {
		s.flags |= smallSwapped
	}
	if c.fastOpen {
		s.flags |= smallFastOpen
	}
	s.over = offset{}
	if c.isOver {
		s.flags |= smallIsOver
		s.over = p.time(c.over)
	}
	p.must(c.isOver || c.over == 0)
	if c.queued {
		s.flags |= smallQueued
	}
	last := a
	if b.sentFrame == c.last && b.packets > 0 {
		s.flags |= smallLastIsSecond
		last = b
	}
	p.must(last.sentFrame == c.last && last.sent == c.end)
	p.must(s.ends[0].pack(a, &p))
	p.must(s.ends[1].pack(b, &p))
	if c.acked {
		s.flags |= smallAcked
		i := c.Client().last(sndAckOfSYN)
		p.must(i >= 0 && c.Client().hist[i].Time == c.ackedAt)
	}
	p.must(c.acked || c.ackedAt == 0)
	return p.ok
}

func (s *smallEnd) pack(e *End, p *packer) bool {
	f := &e.fin
	if len(e.hist) > maxSmallMoves || f.waits || f.inferred || e.rtt > 1<<32-1 || e.least > 1<<32-1 {
		return false
	}
	copied := e.synCopy
	if f.counts {
		p.must(e.synCopy == copyID{})
		copied = f.copy
	} else if *f != (fin{}) {
		return false
	}
	*s = smallEnd{
		packets: p.u32(e.packets), bytes: p.u32(e.bytes), payload: p.u32(e.payload),
		iss: e.iss, una: e.una, nxt: e.nxt, edge: e.edge,
		tsRecent: e.tsRecent, tsVal: e.lastCopy.tsVal, lastSeq: e.lastSeq,
		rtt: uint32(e.rtt), least: uint32(e.least), finSeq: f.seq,
		copyTS: copied.tsVal, ipID: e.lastCopy.ipID, copyID: copied.ipID, wnd: e.lastWnd, synWnd: e.synWnd, mss: e.mss,
		n: uint8(len(e.hist)), initial: uint8(e.initial), scale: uint8(e.scale), minTTL: e.minTTL, maxTTL: e.maxTTL, idSteps: e.idSteps,
		syn: p.u8(e.syns), fin: p.u8(e.fins), rst: p.u8(e.rsts), retransmit: p.u8(e.retransmits),
	}
	if e.packets > 0 {
		s.set(smallSent, e.sent, e.sentFrame, p)
	} else {
		p.must(e.sent == 0 && e.sentFrame == 0)
	}
	if e.dataFrame != 0 {
		s.set(smallDataAt, e.data, e.dataFrame, p)
	} else {
		p.must(e.data == 0)
	}
	if e.probing {
		s.set(smallProbe, e.probe, p.first, p)
		s.probeEnd = e.probeEnd
	} else {
		p.must(e.probe == 0 && e.probeEnd == 0)
	}
	for i := range e.hist {
		t := &e.hist[i]
		s.set(smallMoves+i, t.Time, t.Frame, p)
		s.moves[i] = uint8(t.move)<<2 | uint8(t.Basis)
	}
	if f.counts {
		i := e.last(sndFIN)
		if i < 0 || e.hist[i].Time != f.time || e.hist[i].Frame != f.frame {
			return false
		}
	}
	if e.syns > 0 {
		p.must(e.firstSYN == e.lastSYN && len(e.hist) > 0 && e.hist[0].Time == e.firstSYN)
	} else {
		p.must(e.firstSYN == 0 && e.lastSYN == 0)
	}
	if i := e.last(timeout2MSL); e.timeWait != 0 && i < 0 {
		switch i := e.lastTo(TimeWait); {
		case i >= 0 && e.hist[i].Time == e.timeWait:
		case e.sent == e.timeWait:
			s.flags |= smallTimeWaitSent
		default:
			return false
		}
	} else {
		p.must(i < 0)
	}
	s.flags |= bit(e.issKnown, smallIssKnown) | bit(e.sentSYN, smallSentSYN) |
		bit(e.nxtKnown, smallNxtKnown) | bit(e.unaKnown, smallUnaKnown) | bit(e.edgeKnown, smallEdgeKnown) |
		bit(e.jumped, smallJumped) | bit(e.acted, smallActed) | bit(e.ackedFIN, smallAckedFIN) |
		bit(e.zeroWnd, smallZeroWnd) | bit(e.keptAlive, smallKeptAlive) | bit(e.sumsRight, smallSumsRight) |
		bit(e.offeredTS, smallOfferedTS) | bit(e.knownTS, smallKnownTS) | bit(e.acks, smallAcks) |
		bit(e.counted, smallCounted) | bit(e.probing, smallProbing) | bit(e.dataFrame != 0, smallData) |
		bit(f.counts, smallFIN) | bit(f.acksPeer, smallFINAcksPeer) |
		bit(e.lastCopy.hasTS, smallLastHasTS) | bit(e.lastCopy.hasID, smallLastHasID) |
		bit(copied.hasTS, smallCopyHasTS) | bit(copied.hasID, smallCopyHasID)
	return true
}

// lastTo returns the index of the end's last move to a state, or -1.
func (e *End) lastTo(s State) int {
	for i := len(e.hist) - 1; i >= 0; i-- {
		if e.hist[i].To == s {
			return i
		}
	}
	return -1
}

// unpack makes c, which must be empty, what was packed into s.
func (s *smallConn) unpack(c *Conn) {
	c.key, c.ID, c.Start, c.First, c.context = s.key, s.id, s.start, s.first, s.key.context
	c.hash, c.place, c.captured, c.stream = s.hash, int(s.place), s.captured, s.stream
	c.duplicates, c.completeness, c.RoleBasis, c.client = int(s.dups), s.complete, s.roleBasis, s.client
	a, b := &c.ends[0], &c.ends[1]
	a.addr, a.port, b.addr, b.port = s.key.a, s.key.ap, s.key.b, s.key.bp
	if s.flags&smallSwapped != 0 {
		a.addr, a.port, b.addr, b.port = b.addr, b.port, a.addr, a.port
	}
	c.fastOpen, c.isOver, c.queued = s.flags&smallFastOpen != 0, s.flags&smallIsOver != 0, s.flags&smallQueued != 0
	if c.isOver {
		c.over = s.over.after(s.start)
	}
	s.ends[0].unpack(a, s)
	s.ends[1].unpack(b, s)
	last := a
	if s.flags&smallLastIsSecond != 0 {
		last = b
	}
	c.last, c.end = last.sentFrame, last.sent
	if s.flags&smallAcked != 0 {
		cl := c.Client()
		c.acked, c.ackedAt = true, cl.hist[cl.last(sndAckOfSYN)].Time
	}
}

func (s *smallEnd) unpack(e *End, c *smallConn) {
	is := func(f uint32) bool { return s.flags&f != 0 }
	e.packets, e.bytes, e.payload = uint64(s.packets), uint64(s.bytes), uint64(s.payload)
	e.syns, e.fins, e.rsts, e.retransmits = uint32(s.syn), uint32(s.fin), uint32(s.rst), uint32(s.retransmit)
	e.iss, e.una, e.nxt, e.edge = s.iss, s.una, s.nxt, s.edge
	e.tsRecent, e.lastSeq = s.tsRecent, s.lastSeq
	e.rtt, e.least = time.Duration(s.rtt), time.Duration(s.least)
	e.lastWnd, e.synWnd, e.mss, e.scale = s.wnd, s.synWnd, s.mss, scale(s.scale)
	e.minTTL, e.maxTTL, e.idSteps = s.minTTL, s.maxTTL, s.idSteps
	e.lastCopy = copyID{s.tsVal, s.ipID, is(smallLastHasTS), is(smallLastHasID)}
	copied := copyID{s.copyTS, s.copyID, is(smallCopyHasTS), is(smallCopyHasID)}
	if s.packets > 0 {
		e.sent, e.sentFrame = s.at(smallSent, c)
	}
	if is(smallData) {
		e.data, e.dataFrame = s.at(smallDataAt, c)
	}
	if is(smallProbing) {
		e.probing, e.probeEnd = true, s.probeEnd
		e.probe, _ = s.at(smallProbe, c)
	}
	e.initial, e.state = State(s.initial), State(s.initial)
	for i, m := range s.moves[:s.n] {
		at, frame := s.at(smallMoves+i, c)
		e.take(move(m>>2), cause{at, frame, Basis(m & 3)})
	}
	if is(smallTimeWaitSent) {
		e.timeWait = e.sent
	}
	if s.syn > 0 {
		e.firstSYN, e.lastSYN = e.hist[0].Time, e.hist[0].Time
	}
	if is(smallFIN) {
		t := &e.hist[e.last(sndFIN)]
		e.fin = fin{counts: true, seq: s.finSeq, acksPeer: is(smallFINAcksPeer), time: t.Time, frame: t.Frame, copy: copied}
	} else {
		e.synCopy = copied
	}
	e.issKnown, e.sentSYN = is(smallIssKnown), is(smallSentSYN)
	e.nxtKnown, e.unaKnown, e.edgeKnown, e.jumped = is(smallNxtKnown), is(smallUnaKnown), is(smallEdgeKnown), is(smallJumped)
	e.acted, e.ackedFIN, e.zeroWnd, e.keptAlive = is(smallActed), is(smallAckedFIN), is(smallZeroWnd), is(smallKeptAlive)
	e.sumsRight, e.offeredTS, e.knownTS = is(smallSumsRight), is(smallOfferedTS), is(smallKnownTS)
	e.acks, e.counted = is(smallAcks), is(smallCounted)
}

// A loneSYN is a connection of one plain SYN over IPv4: what a flood is made of.
// It is kept as that segment, and counted anew when it is looked at.
type loneSYN struct {
	time         capture.Time
	id           uint64
	src, dst     [4]byte
	seq, tsVal   uint32
	frame        uint32
	stream       uint32
	frameHi      uint16
	wire         uint16
	sp, dp       uint16
	wnd, ipID    uint16
	mss          uint16
	opts         decode.Opts
	scale, flags uint8
	ttl          uint8
	checksum     decode.Checksum
}

// v4 returns the IPv4 address in a; false if it is none.
func v4(a *decode.Addr) (ip [4]byte, ok bool) {
	const mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"
	return [4]byte(a[12:]), string(a[:12]) == mapped
}

func v4Mapped(ip [4]byte) decode.Addr {
	return decode.Addr{10: 0xff, 11: 0xff, 12: ip[0], 13: ip[1], 14: ip[2], 15: ip[3]}
}

// pack makes s the connection c that seg, a segment that was counted, has just
// opened. It reports false, and leaves s undefined, if c is not of one plain SYN.
func (s *loneSYN) pack(c *Conn, seg *decode.Segment) bool {
	src, ok := v4(&seg.Src)
	dst, ok2 := v4(&seg.Dst)
	if !ok || !ok2 || c.captured != 1 || c.duplicates != 0 || seg.Flags&^(decode.ECE|decode.CWR) != decode.SYN || seg.Len != 0 || seg.Context != 0 ||
		seg.NoWnd || seg.Frame >= 1<<48 || seg.Wire >= 1<<16 || seg.Opts.Has(decode.OptSACK) || c.older != nil || seg.Frame != c.First {
		return false
	}
	*s = loneSYN{
		time: seg.Time, id: c.ID, src: src, dst: dst, seq: seg.Seq, tsVal: seg.TSVal, stream: seg.Stream,
		frame: uint32(seg.Frame), frameHi: uint16(seg.Frame >> 32), wire: uint16(seg.Wire), sp: seg.SrcPort, dp: seg.DstPort,
		wnd: seg.Wnd, mss: seg.MSS, opts: seg.Opts, scale: seg.Scale, flags: uint8(seg.Flags), ttl: seg.TTL, checksum: seg.Checksum,
	}
	if seg.HasIPID {
		s.ipID = seg.IPID
	}
	return true
}

// segment returns the SYN.
func (s *loneSYN) segment() decode.Segment {
	return decode.Segment{
		Time: s.time, Frame: uint64(s.frameHi)<<32 | uint64(s.frame), Wire: uint32(s.wire),
		Stream: s.stream,
		Src:    v4Mapped(s.src), Dst: v4Mapped(s.dst), SrcPort: s.sp, DstPort: s.dp,
		Seq: s.seq, Wnd: s.wnd, Flags: decode.Flags(s.flags), Checksum: s.checksum,
		Opts: s.opts, MSS: s.mss, Scale: s.scale, TSVal: s.tsVal, TTL: s.ttl, IPID: s.ipID, HasIPID: s.ipID != 0,
	}
}
