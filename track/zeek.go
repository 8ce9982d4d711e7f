package track

import (
	"strings"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// Zeek is what Zeek's conn.log tells of a connection, as Zeek 8 writes it for the
// connection's segments with its default scripts, checksums not looked at (-C).
// Zeek splits connections by timers and by every SYN after a FIN or RST;
// Config.ZeekSplit has ours split so, too. Else some differ where Zeek's are several.
type Zeek struct {
	State      string // conn_state, such as "SF"
	History    string // such as "ShADadFf"
	Originator Role   // which of ours Zeek takes for the originator
	Duration   time.Duration
	Orig, Resp ZeekEnd
	Missed     uint64 // octets in gaps

	context uint32 // encapsulation of its first segment
}

// A ZeekEnd is what the originator or the responder sent.
type ZeekEnd struct {
	Bytes   uint64 // octets, by sequence numbers: lost ones count, repeated ones don't
	Packets uint64 // all of them, duplicates of a mirror port too
	IPBytes uint64 // octets of these, IP's headers included
}

// zeekState is an end's state as Zeek has it: it moves when a segment is captured,
// whatever becomes of that.
type zeekState uint8

const (
	zeekInactive   zeekState = iota // nothing seen that counts
	zeekSYNSent                     // the originator's SYN
	zeekSYNACKSent                  // SYN,ACK of one that is taken for the originator
	zeekPartial                     // segments without SYN
	zeekEstablished
	zeekClosed // FIN
	zeekReset  // RST
)

// A zeekConn is what Zeek would know of a connection. It holds no pointers.
type zeekConn struct {
	last       capture.Time // of the last segment, until both ends were closed
	missed     uint64
	ends       [2]zeekEnd // as in Conn.ends
	context    uint32     // decode.Segment.Context of the first segment
	rare       uint32     // 1 + number of its zeekRare; 0: none
	letters    [zeekLetters]byte
	n          uint8 // letters in use; the rest is in rare
	orig       uint8 // index of the originator
	given      [2]uint8
	begun      bool
	seen       [2]bool // a segment of originator and responder was processed
	partial    bool    // begun in mid-stream, by Zeek's reckoning
	deferred   bool    // an end's closing waits for data
	deferEvent bool
	finished   bool // a complete close or a reset was reported: some timers are void
	cancelled  bool // all timers but those of inactivity and removal are
	timeout    zeekTimeout
}

// zeekLetters are those that few histories exceed.
const zeekLetters = 16

// A zeekEnd is one end of a zeekConn. Its numbers are of what it sends; they are
// unwrapped as Zeek does it, by counting how often they passed zero.
type zeekEnd struct {
	packets, ipBytes     uint64
	iss, nxt, una        uint32
	nxtWraps, unaWraps   uint16
	lastSYN              uint32 // of the last SYN, FIN and RST: relative, modulo 2^32
	lastFIN              uint32
	lastRST              uint32
	zeros, repeats, gaps uint32 // times that W, T and G would be written
	finEnd               uint64 // relative number behind its FIN
	delivered            uint64 // relative number up to which its data is there, or given up
	trimmed              uint64 // and acknowledged
	state, before        zeekState
	hasFIN               bool
	closed               bool
	atEOF                bool
	givenUp              bool // its data is not followed any more
}

// A zeekRare is what few connections have.
type zeekRare struct {
	letters []byte
	blocks  [2][]zeekBlock // data above a hole, of each end: in order, not touching each other
}

// Zeek's limits, by the names of its options.
const (
	zeekTooLarge      = 1 << 20  // TOO_LARGE_SEQ_DELTA
	zeekInitialWindow = 16384    // tcp_max_initial_window
	zeekAboveHole     = 16384    // tcp_max_above_hole_without_any_acks
	zeekUnacked       = 10 << 20 // tcp_excessive_data_without_further_acks

	// zeekBlocks bounds the blocks of one end, where Zeek bounds only their octets.
	zeekBlocks = 256
)

// Letters that are given once.
const (
	zeekGivenSYN uint8 = 1 << iota
	zeekGivenFIN
	zeekGivenRST
	zeekGivenFINRST
	zeekGivenData
	zeekGivenACK
	zeekGivenMulti
)

// zeekServes reports whether a port is in Zeek's likely_server_ports, for TCP.
func zeekServes(port uint16) bool {
	switch port {
	case 21, 22, 25, 53, 79, 80, 81, 88, 135, 139, 143, 389, 443, 445, 465, 502, 514, 563, 585, 587,
		614, 631, 636, 989, 990, 992, 993, 995, 1080, 1434, 1883, 2811, 3128, 3268, 3306, 3389,
		5222, 5223, 5269, 5432, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8888, 20000:
		return true
	}
	return false
}

// A zeekPass is a segment on its way through a zeekConn.
type zeekPass struct {
	*zeekConn
	store    *zeeks
	seg      *decode.Segment
	from     uint8 // index of the sender
	snd, rcv *zeekEnd
	isOrig   bool
	closes   bool // the sender's part of the connection ends with it
	event    bool // and that is told
	due      zeekTimer
}

// segment takes a segment of the end with that index, and returns which timers Zeek
// would start.
func (z *zeekConn) segment(s *zeeks, from uint8, seg *decode.Segment) zeekTimer {
	p := &zeekPass{zeekConn: z, store: s, seg: seg, from: from}
	if !z.begun {
		p.begin()
	}
	if seg.Opts.Has(decode.OptCut) { // it opens a connection, and is not counted
		return p.due
	}
	z.ends[from].packets++
	z.ends[from].ipBytes += uint64(seg.IPLen())
	f := seg.Flags
	if z.n == 1 && z.letters[0] == 'H' && !f.Any(decode.SYN|decode.FIN|decode.RST) {
		z.flip(s)
		z.letters[0], z.letters[1] = '^', 'h'
	}
	p.isOrig = from == z.orig
	p.snd, p.rcv = &z.ends[from], &z.ends[1-from]
	p.process()
	return p.due
}

// begin makes the first segment's sender the originator, unless its port serves.
func (p *zeekPass) begin() {
	z, seg := p.zeekConn, p.seg
	*z = zeekConn{last: seg.Time, context: seg.Context, orig: p.from, begun: true}
	for i := range z.ends {
		z.ends[i].delivered, z.ends[i].trimmed = 1, 1
	}
	p.due |= zeekExpire | zeekInactivity
	broadcast := v4Mapped(1<<32 - 1)
	synack := seg.Flags.Has(decode.SYN)
	switch {
	case seg.Flags&(decode.SYN|decode.ACK) == decode.SYN, !zeekServes(seg.SrcPort), seg.Dst == broadcast:
	case !zeekServes(seg.DstPort), !synack && seg.SrcPort < seg.DstPort:
		z.flip(p.store)
	}
}

// flip changes the roles. Letters that were given once stay with the role.
func (z *zeekConn) flip(s *zeeks) {
	z.orig = 1 - z.orig
	z.seen[0], z.seen[1] = z.seen[1], z.seen[0]
	z.partial = false
	z.write(s, '^')
}

// write appends a letter to the history.
func (z *zeekConn) write(s *zeeks, letter byte) {
	if z.n < zeekLetters {
		z.letters[z.n] = letter
		z.n++
		return
	}
	// Only F and R can be many, and of each no more than there are segments.
	if r := s.rareOf(z); len(r.letters) < zeekLongest {
		r.letters = append(r.letters, letter)
	}
}

// zeekLongest bounds a history, which Zeek does not: a sender of RSTs could make it
// as long as the capture.
const zeekLongest = 1 << 10

// writeFor writes a letter for the originator or the responder.
func (p *zeekPass) writeFor(letter byte, orig bool) {
	if !orig {
		letter += 'a' - 'A'
	}
	p.write(p.store, letter)
}

// once writes a letter for the sender the first time; it reports false then.
func (p *zeekPass) once(mark uint8, letter byte) bool {
	given := &p.given[0]
	if !p.isOrig {
		given = &p.given[1]
	}
	if *given&mark != 0 {
		return true
	}
	*given |= mark
	p.writeFor(letter, p.isOrig)
	return false
}

// counted writes a letter the 1st, 10th, 100th … time.
func (p *zeekPass) counted(n *uint32, letter byte, orig bool) {
	*n++
	for k := *n; ; k /= 10 {
		if k == 1 {
			p.writeFor(letter, orig)
			return
		}
		if k == 0 || k%10 != 0 {
			return
		}
	}
}

// zeekFull unwraps a number.
func zeekFull(n uint32, wraps uint16) uint64 { return uint64(wraps)<<32 | uint64(n) }

// relative returns n relative to the end's ISS, near the number last, which was
// unwrapped so often; below says that it lies before the ISS.
func (e *zeekEnd) relative(n, last uint32, wraps uint16) (rel uint64, below bool) {
	switch d := int32(n - last); {
	case d < 0 && wraps > 0 && n > last:
		wraps--
	case d > 0 && n < last:
		wraps++
	}
	if wraps == 0 {
		d := int32(n - e.iss)
		return uint64(int64(d)), d < 0
	}
	return zeekFull(n, wraps) - uint64(e.iss), false
}

// zeekRaise sets n to a later number.
func zeekRaise(n *uint32, wraps *uint16, to uint32) {
	if to < *n {
		*wraps++
	}
	*n = to
}

// learn sets the sender's numbers where the segment is the first to tell them, or
// tells others.
func (p *zeekPass) learn(end uint32) {
	e, seg := p.snd, p.seg
	syn := seg.Flags.Has(decode.SYN)
	switch e.state {
	case zeekInactive:
		e.iss, e.una, e.nxt = seg.Seq, seg.Seq, end
		if !syn {
			e.iss, e.una, e.nxt = seg.Seq-1, seg.Seq-1, seg.Seq
		}
		return
	case zeekSYNSent, zeekSYNACKSent:
		syn = syn && seg.Seq != e.iss
	case zeekReset:
		syn = syn && e.before == zeekInactive
	case zeekClosed:
		return
	}
	if syn {
		e.iss, e.una, e.nxt = seg.Seq, seg.Seq, end
	}
}

func (p *zeekPass) process() {
	z, seg, snd, rcv, f := p.zeekConn, p.seg, p.snd, p.rcv, p.seg.Flags
	role := 0
	if !p.isOrig {
		role = 1
	}
	if !z.seen[role] {
		if p.isOrig {
			z.partial = !f.Has(decode.SYN) || f.Has(decode.ACK)
		} else if !z.partial {
			z.partial = !f.Has(decode.SYN)
		}
	}
	n := uint32(0) // of sequence space
	if !f.Has(decode.RST) {
		n = seg.Len
	}
	if f.Has(decode.SYN) {
		n++
	}
	if f.Has(decode.FIN) {
		n++
	}
	end := seg.Seq + n
	p.learn(end)
	rel, below := snd.relative(seg.Seq, snd.nxt, snd.nxtWraps)
	p.letter(rel)
	if seg.Wnd == 0 && !seg.NoWnd && !f.Has(decode.RST) && rcv.state != zeekClosed && snd.state != zeekReset {
		p.counted(&snd.zeros, 'W', p.isOrig)
	}
	if !z.ends[0].closed || !z.ends[1].closed {
		z.last = seg.Time
	}
	if f.Has(decode.FIN) {
		snd.hasFIN, snd.finEnd = true, rel+uint64(n)
	}
	ack := p.acknowledge()
	p.advance(end)
	p.move()
	if f.Has(decode.ACK) {
		p.acked(ack)
	}
	z.seen[role] = true
	if seg.Len > 0 && !seg.Cut && !f.Has(decode.RST) && !below {
		from := rel
		if f.Has(decode.SYN) {
			from++
		}
		p.data(from, from+uint64(seg.Len))
	}
	p.checkEOF(p.from)
	if p.closes {
		p.close(p.from, p.event)
	}
}

// letter writes the one letter for the segment's flags.
func (p *zeekPass) letter(rel uint64) {
	snd, seg, f := p.snd, p.seg, p.seg.Flags
	switch f & (decode.SYN | decode.FIN | decode.RST) {
	case decode.SYN:
		letter := byte('S')
		if f.Has(decode.ACK) {
			letter = 'H'
		}
		p.again(zeekGivenSYN, letter, &snd.lastSYN, uint32(rel))
	case decode.FIN:
		p.again(zeekGivenFIN, 'F', &snd.lastFIN, uint32(rel)+seg.Len)
	case decode.RST:
		p.again(zeekGivenRST, 'R', &snd.lastRST, uint32(rel))
	case 0:
		if seg.Len > 0 {
			p.once(zeekGivenData, 'D')
		} else if f.Has(decode.ACK) {
			p.once(zeekGivenACK, 'A')
		}
	default:
		if f.Has(decode.FIN | decode.RST) {
			p.once(zeekGivenFINRST, 'I')
		} else {
			p.once(zeekGivenMulti, 'Q')
		}
	}
}

// again writes a letter that is repeated when its number is another than last.
func (p *zeekPass) again(mark uint8, letter byte, last *uint32, n uint32) {
	if p.once(mark, letter) && n != *last {
		p.writeFor(letter, p.isOrig)
	}
	*last = n
}

// acknowledge takes the segment's acknowledgment, and returns it relative to the
// receiver's ISS.
func (p *zeekPass) acknowledge() uint64 {
	rcv, ack, f := p.rcv, p.seg.Ack, p.seg.Flags
	switch {
	case !f.Has(decode.ACK):
		return 0
	case rcv.state == zeekInactive:
		rcv.iss, rcv.una, rcv.nxt = ack-1, ack-1, ack-1
		return 1
	}
	rel, below := rcv.relative(ack, rcv.una, rcv.unaWraps)
	if below {
		return 0
	}
	if d := int32(ack - rcv.una); d > 0 && !f.Has(decode.RST) && (ack != 0 || d <= zeekTooLarge) {
		zeekRaise(&rcv.una, &rcv.unaWraps, ack)
	}
	return rel
}

// advance takes the segment's end into the sender's numbers, or notes that it brings
// nothing new.
func (p *zeekPass) advance(end uint32) {
	snd, f := p.snd, p.seg.Flags
	d := int32(end - snd.nxt)
	switch {
	case f.Any(decode.SYN|decode.RST) && (d > zeekTooLarge || d < -zeekTooLarge):
	case f.Has(decode.FIN) && snd.nxt == snd.iss+1:
		zeekRaise(&snd.nxt, &snd.nxtWraps, end)
	case snd.state == zeekReset:
	case d > 0:
		zeekRaise(&snd.nxt, &snd.nxtWraps, end)
	case p.seg.Len > 0:
		p.counted(&snd.repeats, 'T', p.isOrig)
	}
}

// enter moves an end.
func (p *zeekPass) enter(e *zeekEnd, s zeekState) {
	if e.state == s {
		return
	}
	peer := &p.ends[0]
	if e == peer {
		peer = &p.ends[1]
	}
	opening := func(s zeekState) bool { return s <= zeekSYNACKSent }
	if !opening(s) && opening(e.state) && opening(peer.state) {
		p.timeout = zeekEstablishedTimeout
		p.due |= zeekInactivity
	}
	e.before, e.state = e.state, s
}

// move moves the sender, and its peer where that is Zeek's way.
func (p *zeekPass) move() {
	snd, rcv, f := p.snd, p.rcv, p.seg.Flags
	switch snd.state {
	case zeekInactive:
		p.rouse()
	case zeekSYNSent, zeekSYNACKSent:
		if f.Has(decode.FIN) {
			p.enter(snd, zeekClosed)
			p.closes, p.event = true, true
		}
		if f.Has(decode.RST) {
			p.enter(snd, zeekReset)
			p.finished, p.closes = true, true
		}
	case zeekPartial, zeekEstablished:
		if f.Has(decode.SYN) && !f.Has(decode.ACK) && snd.state == zeekPartial && rcv.state == zeekInactive {
			p.enter(snd, zeekSYNSent)
		}
		if f.Has(decode.FIN) && !f.Has(decode.RST) {
			p.enter(snd, zeekClosed)
			if rcv.state == zeekReset && rcv.before == zeekClosed {
				p.enter(rcv, zeekClosed)
			}
			p.closes, p.event = true, true
		}
		if f.Has(decode.RST) {
			p.enter(snd, zeekReset)
			p.closes = true
			if rcv.state != zeekReset || rcv.before != zeekEstablished {
				p.finished = true
			}
		}
	case zeekClosed:
		if f.Has(decode.RST) && rcv.state != zeekClosed {
			p.enter(snd, zeekReset)
			p.closes = !snd.closed
		}
	}
}

// rouse moves a sender that nothing was seen of.
func (p *zeekPass) rouse() {
	z, snd, rcv, f := p.zeekConn, p.snd, p.rcv, p.seg.Flags
	switch {
	case !f.Has(decode.SYN):
	case p.isOrig:
		opened := zeekSYNSent
		if f.Has(decode.ACK) {
			opened = zeekSYNACKSent
		}
		p.enter(snd, opened)
		p.due |= zeekAttempt
	default:
		if !f.Has(decode.ACK) && rcv.state == zeekSYNACKSent && p.seg.Seq == snd.iss {
			z.flip(p.store) // the SYN that the SYN,ACK before it answers
			p.enter(rcv, zeekEstablished)
			z.seen[0] = true
		}
		if rcv.state == zeekSYNSent {
			p.enter(rcv, zeekEstablished)
		}
		p.enter(snd, zeekEstablished)
		if rcv.state != zeekPartial && p.longLived() {
			p.timeout = zeekLongTimeout
			p.due |= zeekInactivity
		}
	}
	if f.Has(decode.FIN) {
		p.enter(snd, zeekClosed)
		p.closes, p.event = true, true
	}
	if f.Has(decode.RST) {
		p.enter(snd, zeekReset)
		rejects := rcv.state == zeekSYNSent || rcv.state == zeekSYNACKSent
		if p.isOrig {
			rejects = rcv.state == zeekEstablished
		}
		p.closes, p.event = true, !rejects
	}
	switch {
	case snd.state != zeekInactive:
	case !p.isOrig && p.seg.Len == 0 && rcv.state == zeekSYNSent:
	case f.Has(decode.ACK) && rcv.state == zeekEstablished:
		p.enter(snd, zeekEstablished)
		z.partial = false
	default:
		p.enter(snd, zeekPartial)
	}
}

// longLived reports whether the responder's port is of a protocol that Zeek lets be
// silent for an hour.
func (p *zeekPass) longLived() bool {
	port := p.seg.SrcPort
	if p.from == p.orig {
		port = p.seg.DstPort
	}
	return port == 21 || port == 22 || port == 23 || port == 513
}

// isOriginator reports whether the end with that index is the originator.
func (z *zeekConn) isOriginator(i uint8) bool { return i == z.orig }

// checkEOF lets a closing that waits for data of an end go on when it is there.
func (p *zeekPass) checkEOF(i uint8) {
	e := &p.ends[i]
	if e.atEOF || !e.hasFIN && e.state != zeekClosed && e.state != zeekReset || p.waits(i) {
		return
	}
	e.atEOF = true
	if p.deferred {
		p.close(i, p.deferEvent)
		p.deferred = false
	}
}

// close notes that an end has closed its part of the connection.
func (p *zeekPass) close(i uint8, event bool) {
	e, peer := &p.ends[i], &p.ends[1-i]
	if p.waits(i) {
		p.deferred = true
		p.deferEvent = p.deferEvent || event
		return
	}
	p.deferred = false
	if e.closed {
		return
	}
	e.closed = true
	switch {
	case e.state == zeekReset || peer.closed || peer.state == zeekInactive:
		if e.before != zeekInactive || peer.state != zeekInactive {
			event = event || p.deferEvent
			p.deferEvent = false
			p.finished = p.finished || event
		}
		p.cancelled = true
		p.due |= zeekRemoval
	case e.before != zeekInactive:
		p.due |= zeekExpireAgain
	}
}

// size returns how many octets an end has sent, by its numbers.
func (z *zeekConn) size(i uint8) uint64 {
	e, peer := &z.ends[i], &z.ends[1-i]
	if e.before == zeekSYNSent && e.state == zeekReset && peer.state == zeekInactive && !e.noneAcked() {
		return 0
	}
	n := max(zeekFull(e.nxt, e.nxtWraps), zeekFull(e.una, e.unaWraps)) - uint64(e.iss)
	if n != 0 {
		n-- // SYN
	}
	if n != 0 && e.hasFIN {
		n--
	}
	return n
}

// tell returns what an end sent.
func (z *zeekConn) tell(i uint8) ZeekEnd {
	return ZeekEnd{Bytes: z.size(i), Packets: z.ends[i].packets, IPBytes: z.ends[i].ipBytes}
}

// history returns all letters.
func (z *zeekConn) history(s *zeeks) string {
	h := string(z.letters[:z.n])
	if z.rare != 0 {
		h += string(s.rareOf(z).letters)
	}
	return h
}

// connState returns conn_state; the first that applies.
func (z *zeekConn) connState(history string) string {
	o, r := z.ends[z.orig].state, z.ends[1-z.orig].state
	absent := func(s zeekState) bool { return s == zeekInactive || s == zeekPartial }
	switch {
	case r == zeekReset && (o == zeekSYNSent || o == zeekSYNACKSent ||
		o == zeekReset && z.size(0) == 0 && z.size(1) == 0):
		return "REJ"
	case r == zeekReset && absent(o):
		return "RSTRH"
	case r == zeekReset:
		return "RSTR"
	case o == zeekReset && !absent(r):
		return "RSTO"
	case o == zeekReset && gaveUpSYN(history):
		return "RSTOS0"
	case o == zeekReset:
		return "OTH"
	case o == zeekClosed && r == zeekClosed:
		return "SF"
	case o == zeekClosed && absent(r):
		return "SH"
	case o == zeekClosed:
		return "S2"
	case r == zeekClosed && absent(o):
		return "SHR"
	case r == zeekClosed:
		return "S3"
	case o == zeekSYNSent && r == zeekInactive:
		return "S0"
	case o == zeekEstablished && r == zeekEstablished:
		return "S1"
	}
	return "OTH"
}

// gaveUpSYN reports whether a history is of a SYN that its sender reset before
// anything else of note: ^?S[^HAFGIQ]*R.*
func gaveUpSYN(h string) bool {
	h, ok := strings.CutPrefix(strings.TrimPrefix(h, "^"), "S")
	i := strings.IndexAny(h, "HAFGIQR")
	return ok && i >= 0 && h[i] == 'R'
}
