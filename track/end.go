package track

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// End is one end of a connection. Its counters are of what it sent; mirror
// duplicates count once.
//
// Sequence variables are those of RFC 9293 §3.3.1 for what the end sends, as the
// capture point knows them: its peer's acknowledgments and windows are kept with
// the end that they are about.
type End struct {
	*endRecord
	c *Conn
	i uint8 // which end of c it is
	rareEnd
	list []Transition // what Transitions returned last
}

// rareEnd is what few ends have anything of: while it is zero, the end's record
// is all of it.
type rareEnd struct {
	times          synTimes
	carry          carry
	further        [maxMoves - inlineMoves]moved // after those of the record
	early          copyID                        // of its SYN, if it has a FIN already
	lingers        lingering
	probe          probe
	cover          cover
	refuted        uint8  // times that SYN_RCVD -> ESTABLISHED was withdrawn
	issProvisional bool   // iss was learnt from an acknowledgment
	behindGap      bool   // octets of it were acknowledged that were not captured, a FIN perhaps
	beforeGap      bool   // it acknowledged them
	gapLate        bool   // it did so after its own FIN
	lateAcked      bool   // acknowledged new data after its own FIN: shutdown, not close
	lateReset      bool   // answered data after its own FIN with a bare RST
	blind          bool   // its FIN acknowledged more than it had before: the peer's FIN, perhaps
	beyondFIN      uint64 // frame with the first new octets above its own FIN
	beyondAt       capture.Time

	shaken    bool   // a RST in the window met it in FIN_WAIT_2: Linux closes a socket without process by it
	holes     uint8  // in Conn.holes
	sacked    bool   // its peer reports a hole
	sackEdge  uint32 // right edge of the highest SACK block about its octets, if sacked
	maxUnseen uint32 // highest end of its segments that wait, if unseen
	unseen    bool

	rise   rise // of its acknowledgments, the last time they rose, its peer being unseen
	streak streak

	// nil: there is none
	repeats *Repeats
	zero    *zeroWindow
	tries   *[maxTries - 1]uint32 // times of its SYNs after the first, in ms since that
}

// synTimes are those of an end's SYNs that its first move does not tell.
type synTimes struct {
	set         bool
	first, last capture.Time
}

// A carry is what there is no room for in an end's counters, in units of what there
// is room for.
type carry struct{ bytes, payload, syns, fins, rsts, retransmits uint32 }

// add8 adds to a counter.
func add8(n *uint8, carry *uint32, more uint32) {
	sum := uint64(*n) + uint64(more)
	*n = uint8(sum)
	*carry += uint32(sum >> 8)
}

// add32 adds to a counter.
func add32(n, carry *uint32, more uint64) {
	sum := uint64(*n) + more
	*n = uint32(sum)
	*carry += uint32(sum >> 32)
}

// A lingering is TIME_WAIT that does not count from the move to it.
type lingering struct {
	on   bool
	from capture.Time
}

// A streak is of retransmissions in a row that got no answer.
type streak struct {
	n    int
	gap  time.Duration // between the last two
	from capture.Time  // of what was sent before the first of them
}

// A rise is of acknowledgments, by exactly one octet.
type rise struct {
	one bool
	by  cause
}

// A probe measures the round trip behind an end whose handshake was not captured:
// the least time from a segment to its acknowledgment.
type probe struct {
	on    bool
	end   uint32       // octets up to this one
	at    capture.Time // were captured then
	least time.Duration
}

// setFIN makes the end one that sent a FIN: its number, when, its last copy, and
// what is true of finFlags.
func (e *End) setFIN(seq uint32, at moment, id copyID, is flags) {
	syn := e.synCopy()
	e.keepSYNCopy(copyID{})
	e.finSeq, e.finAt = seq, at
	e.flags = e.flags&^finFlags | is
	e.keepFINCopy(id)
	e.keepSYNCopy(syn)
}

// forgetFIN makes the end one without FIN.
func (e *End) forgetFIN() {
	syn := e.synCopy()
	e.keepSYNCopy(copyID{})
	e.finSeq, e.finAt = 0, 0
	e.set(finFlags, false)
	e.keepSYNCopy(syn)
}

// finAckedBy reports whether the end's FIN counts, and ack acknowledges it.
func (e *endRecord) finAckedBy(ack uint32) bool { return e.is(finCounts) && after(ack, e.finSeq) }

// A scale is what is known of the window scale that an end's segments use.
type scale uint8

const (
	scaleUnseen scale = iota // SYN or its options not captured
	scaleNone                // SYN without the option
	scaleBase                // scaleBase + shift: the shift that the SYN offered
)

// unknownShift keeps windows of unknown scale wide enough (RFC 7323 §2.3).
const unknownShift = 14

// shift returns the shift of the windows that e sends to peer.
func (e *End) shift(peer *End) uint {
	switch {
	case e.scale == scaleNone || peer.scale == scaleNone:
		return 0
	case e.scale == scaleUnseen || peer.scale == scaleUnseen:
		return unknownShift
	}
	return uint(e.scale - scaleBase)
}

// A copyID tells a retransmission from an old duplicate.
type copyID struct {
	tsVal        uint32
	ipID         uint16
	hasTS, hasID bool
}

func identify(seg *decode.Segment) copyID {
	return copyID{seg.TSVal, seg.IPID, seg.Opts.Has(decode.OptTimestamps), seg.HasIPID}
}

// lastCopy returns the identity of the end's last segment that counted, if counted.
func (e *endRecord) lastCopy() copyID {
	return copyID{e.lastTS, e.lastID, e.is(lastHasTS), e.is(lastHasID)}
}

func (e *endRecord) keepLastCopy(id copyID) {
	e.lastTS, e.lastID = id.tsVal, id.ipID
	e.set(lastHasTS, id.hasTS)
	e.set(lastHasID, id.hasID)
}

// finCopy returns the identity of the last copy of the end's FIN, if it has one.
func (e *endRecord) finCopy() copyID {
	return copyID{e.copyTS, e.copyIP, e.is(copyHasTS), e.is(copyHasID)}
}

func (e *endRecord) keepFINCopy(id copyID) {
	e.copyTS, e.copyIP = id.tsVal, id.ipID
	e.set(copyHasTS, id.hasTS)
	e.set(copyHasID, id.hasID)
}

// synCopy returns the identity of the end's last SYN or SYN,ACK, until it acted.
// It is kept where that of its FIN will be.
func (e *End) synCopy() copyID {
	if e.is(hasFIN) {
		return e.early
	}
	return e.finCopy()
}

func (e *End) keepSYNCopy(id copyID) {
	if e.is(hasFIN) {
		e.early = id
		return
	}
	e.keepFINCopy(id)
}

// olderThan reports whether a segment with the identity c was sent before one
// with d, as far as their identities tell.
func (c copyID) olderThan(d copyID) bool {
	if c.hasTS && d.hasTS && c.tsVal != d.tsVal {
		return before(c.tsVal, d.tsVal)
	}
	return c.hasID && d.hasID && int16(c.ipID-d.ipID) < 0
}

// newerThan reports whether a segment with the identity c is a later copy than
// the one with d, equal in all else. Where nothing tells, it is.
func (c copyID) newerThan(d copyID) bool {
	if c.hasTS && d.hasTS && c.tsVal != d.tsVal {
		return after(c.tsVal, d.tsVal)
	}
	if c.hasID && d.hasID {
		return c.ipID != d.ipID
	}
	return !(c.hasTS && d.hasTS)
}

// State returns the end's state.
func (e *End) State() State {
	if e.cover.on {
		return Closed
	}
	return e.state
}

// Since returns when the end entered its state; false if it made no move.
func (e *End) Since() (capture.Time, bool) {
	t, ok := e.lastTransition()
	return t.Time, ok
}

// SinceFrame returns the frame that shows the end's state; zero if it made no
// move.
func (e *End) SinceFrame() uint64 {
	t, _ := e.lastTransition()
	return t.Frame
}

// SYNs returns when the first and the last of the end's SYNs or SYN,ACKs were
// captured; valid if SYN > 0.
func (e *End) SYNs() (first, last capture.Time) {
	switch {
	case e.times.set:
		return e.times.first, e.times.last
	case e.SYN() == 0:
		return 0, 0
	}
	at := e.firstMove()
	return at, at
}

// firstMove returns when the end made its first move, or if it made none, when
// the connection began. It is the time of the SYN of an end that sent one.
func (e *End) firstMove() capture.Time {
	if e.n > 0 {
		return e.when(0)
	}
	return e.c.Start
}

// noteSYN keeps the time of a SYN that has been counted, unless firstMove tells
// it.
func (e *End) noteSYN(t capture.Time) {
	switch first := e.firstMove(); {
	case e.times.set:
		e.times.last = t
	case e.SYN() > 1:
		e.times = synTimes{true, first, t}
	case first != t:
		e.times = synTimes{true, t, t}
	}
}

// Basis returns what shows the end's state; Received if it made no move.
func (e *End) Basis() Basis {
	if t, ok := e.lastTransition(); ok {
		return t.Basis
	}
	return Received
}

func (e *End) lastTransition() (t Transition, ok bool) {
	n, below := e.before()
	switch {
	case e.cover.on && below != Closed:
		return e.cover.by, true
	case n > 0:
		return e.move(n - 1), true
	}
	return t, false
}

// made returns the end's move i.
func (e *End) made(i int) *moved {
	if i < inlineMoves {
		return &e.moves[i]
	}
	return &e.further[i-inlineMoves]
}

// before returns how many moves the end made without a RST's, and the state that
// they lead to. A closed end has not made those at their end that its peer's
// segments behind the RST would have made.
func (e *End) before() (int, State) {
	n, s := int(e.n), e.state
	for e.cover.on && n > 0 && e.made(n-1).beyond() {
		n--
		s = e.stateBefore(n)
	}
	return n, s
}

// Transitions returns the end's moves in the order in which it made them. A move
// to CLOSED by a RST keeps the RST's time, and moves made by segments that were
// under way then come before it: times need not rise. The slice is valid until the
// next call or the next segment.
func (e *End) Transitions() []Transition {
	n, below := e.before()
	l, s := e.list[:0], e.initial
	for i := range n {
		l = append(l, e.moveFrom(i, s))
		s = l[len(l)-1].To
	}
	if e.cover.on && below != Closed {
		by := e.cover.by
		by.From = below
		l = append(l, by)
	}
	e.list = l
	return l
}

// move returns the end's move i.
func (e *End) move(i int) Transition { return e.moveFrom(i, e.stateBefore(i)) }

// moveFrom returns the end's move i, which is out of state s.
func (e *End) moveFrom(i int, s State) Transition {
	m := e.made(i)
	at := e.c.at(m.at)
	return Transition{From: s, To: next[s][m.move()], Basis: m.basis(), Time: at.time, Frame: at.frame, move: m.move(), beyond: m.beyond()}
}

// stateBefore returns the state in which the end was before its move i.
func (e *End) stateBefore(i int) State {
	s := e.initial
	for j := range i {
		s = next[s][e.made(j).move()]
	}
	return s
}

// when returns the time of the end's move i.
func (e *End) when(i int) capture.Time { return e.c.at(e.made(i).at).time }

// timeWait returns when TIME_WAIT began, or began again, of an end that was in it.
func (e *End) timeWait() capture.Time {
	if e.lingers.on {
		return e.lingers.from
	}
	return e.when(e.lastTo(TimeWait))
}

// linger lets TIME_WAIT count from t.
func (e *End) linger(t capture.Time) {
	if t != e.timeWait() {
		e.lingers = lingering{true, t}
	}
}

// lastTo returns the index of the end's last move to a state, or -1.
func (e *End) lastTo(to State) int {
	last, s := -1, e.initial
	for i := range int(e.n) {
		if s = next[s][e.made(i).move()]; s == to {
			last = i
		}
	}
	return last
}

// Entered reports whether the end was ever in state s, and when it last entered
// it.
func (e *End) Entered(s State) (capture.Time, uint64, bool) {
	if i := e.lastTo(s); i >= 0 {
		at := e.c.at(e.made(i).at)
		return at.time, at.frame, true
	}
	return 0, 0, false
}

// ISN returns the end's initial sequence number, if its SYN was captured or can
// be told.
func (e *End) ISN() (uint32, bool) { return e.iss, e.is(issKnown) }

// Unacked returns how many octets, SYN and FIN counted, the end sent beyond its
// peer's last acknowledgment.
func (e *End) Unacked() uint32 {
	switch {
	case !e.is(nxtKnown) || !e.is(unaKnown) && !e.is(issKnown):
		return 0
	case !e.is(unaKnown):
		return e.nxt - e.iss
	case after(e.nxt, e.una):
		return e.nxt - e.una
	}
	return 0
}

// unackedPayload returns how many of those octets are payload.
func (e *End) unackedPayload() uint32 {
	n := e.Unacked()
	if n > 0 && e.is(finCounts) && !(e.is(unaKnown) && after(e.una, e.finSeq)) {
		n--
	}
	if n > 0 && !e.is(unaKnown) && e.is(sentSYN) {
		n--
	}
	return n
}

// BeyondFIN returns the frame with the first new octets that the end sent above
// its own FIN, which its peer had acknowledged, and its time; 0 if there is none.
func (e *End) BeyondFIN() (frame uint64, at capture.Time) { return e.beyondFIN, e.beyondAt }

// Acked reports whether the end acknowledged its peer's SYN, seen to or not.
func (e *End) Acked() bool { return e.last(sndAckOfSYN) >= 0 }

// ClosedWith tells how the end's application closed it, if the wire does.
// close() and shutdown(SHUT_WR) put the same FIN on it; what tells them apart is
// the answer to data that comes later: after shutdown() it is acknowledged, after
// close() it meets RST. A program that calls one after the other has called the
// first. A RST that the host made, or somebody else, is nobody's call.
func (e *End) ClosedWith() Closer {
	switch {
	case e.lateAcked:
		return ByShutdown
	case e.lateReset:
		return ByClose
	case e.cover.on && e.cover.abort:
		return ByAbort
	}
	return NoCloser
}

// roundTripUnmeasured is taken for an end's round trip where the handshake was
// not captured: the initial retransmission timeout, RFC 6298 §2.
const roundTripUnmeasured = time.Second

// answerSlack is how much longer than in the handshake a busy host may take to
// answer, on networks where the round trip itself is shorter than that.
const answerSlack = time.Millisecond

// roundTrip returns how long after a segment's capture the end's answer to it
// passes the capture point.
func (e *End) roundTrip() time.Duration {
	if e.rtt > 0 {
		return e.measured() + answerSlack
	}
	return roundTripUnmeasured
}

// measured returns the end's round trip from its answer in the handshake, 0 if
// unmeasured.
func (e *End) measured() time.Duration { return time.Duration(e.rtt) * time.Microsecond }

// underWay reports whether seg, of the end, was sent before what passed the
// capture point at the given time can have reached the end: it was captured within
// a round trip of it, or a clock that stepped back makes it look earlier.
func (e *End) underWay(seg *decode.Segment, at capture.Time) bool {
	d := seg.Time.Sub(at)
	return -stepBack <= d && d <= e.roundTrip()
}

// highest returns the highest number the end is known to have sent, whether it
// counted or waits.
func (e *End) highest() uint32 {
	if e.unseen {
		return later(e.nxt, e.maxUnseen)
	}
	return e.nxt
}

// isNew reports whether seg is no old duplicate of a segment of the end.
func (e *End) isNew(seg *decode.Segment) bool {
	id := identify(seg)
	switch {
	case !e.is(counted):
		return true
	case id.hasTS && e.lastCopy().hasTS && id.tsVal != e.lastCopy().tsVal:
		return after(id.tsVal, e.lastCopy().tsVal)
	case id.hasID && e.lastCopy().hasID:
		return int16(id.ipID-e.lastCopy().ipID) > 0
	}
	return seg.Seq != e.lastSeq || id.newerThan(e.lastCopy())
}

// Addr returns the end's address.
func (e *End) Addr() decode.Addr {
	if e.first() {
		return e.c.key.a
	}
	return e.c.key.b
}

// Port returns the end's port.
func (e *End) Port() uint16 {
	if e.first() {
		return e.c.key.ap
	}
	return e.c.key.bp
}

// first reports whether the end is the key's first.
func (e *End) first() bool { return (e.i == 0) != e.c.swapped }

// Packets returns how many segments the end sent.
func (e *End) Packets() uint64 { return uint64(e.packets) }

// Bytes returns how many octets the frames of the end's segments had on the wire.
func (e *End) Bytes() uint64 { return uint64(e.carry.bytes)<<32 | uint64(e.bytes) }

// PayloadBytes returns how many octets of payload the end sent, retransmissions
// included.
func (e *End) PayloadBytes() uint64 { return uint64(e.carry.payload)<<32 | uint64(e.payload) }

// SYN returns how many segments with SYN the end sent.
func (e *End) SYN() uint32 { return e.carry.syns<<8 | uint32(e.syns) }

// FIN returns how many segments with FIN the end sent.
func (e *End) FIN() uint32 { return e.carry.fins<<8 | uint32(e.fins) }

// RST returns how many segments with RST the end sent.
func (e *End) RST() uint32 { return e.carry.rsts<<8 | uint32(e.rsts) }

// Retransmits returns how many of the end's segments repeated octets.
func (e *End) Retransmits() uint32 { return e.carry.retransmits<<8 | uint32(e.retransmits) }

// Sent returns when the end last sent a segment, whether it counted or not; 0 if
// it never did.
func (e *End) Sent() capture.Time { t, _ := e.lastSent(); return t }

// SentFrame returns the frame of the end's last segment; 0 if there is none.
func (e *End) SentFrame() uint64 { _, f := e.lastSent(); return f }

// Data returns when the end last sent payload, keep-alive probes left out; 0 if
// never.
func (e *End) Data() capture.Time { t, _ := e.lastData(); return t }

// DataFrame returns the frame of that segment; 0 if there is none.
func (e *End) DataFrame() uint64 { _, f := e.lastData(); return f }

func (e *End) lastSent() (capture.Time, uint64) {
	if !e.is(sentAny) {
		return 0, 0
	}
	m := e.c.stamp(stampSent + int(e.i))
	return m.time, m.frame
}

func (e *End) lastData() (capture.Time, uint64) {
	if !e.is(sentData) {
		return 0, 0
	}
	m := e.c.stamp(stampData + int(e.i))
	return m.time, m.frame
}

// noteSent keeps when the end sent a segment, the latest if frames are a little
// out of order.
func (e *End) noteSent(t capture.Time, frame uint64) {
	if e.is(sentAny) {
		t = max(t, e.Sent())
	}
	e.set(sentAny, true)
	e.c.setStamp(stampSent+int(e.i), t, frame)
}

func (e *End) noteData(t capture.Time, frame uint64) {
	e.set(sentData, true)
	e.c.setStamp(stampData+int(e.i), t, frame)
}
