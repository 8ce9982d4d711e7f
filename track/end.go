package track

import (
	"slices"
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
	addr decode.Addr
	port uint16

	packets          uint64
	bytes            uint64 // octets of frames on the wire
	payload          uint64 // octets of payload, retransmissions included
	syns, fins, rsts uint32 // segments with the flag
	retransmits      uint32

	sent      capture.Time // when it last sent a segment, whether it counted or not
	sentFrame uint64       // that segment
	data      capture.Time // when it last sent payload, keep-alive probes left out; 0 if never
	dataFrame uint64       // that segment

	firstSYN, lastSYN capture.Time

	state   State // below a cover
	initial State // before its first move
	hist    []Transition

	iss, una, nxt, edge uint32 // ISS, SND.UNA, SND.NXT (highest octet sent + 1), right edge of the send window
	issKnown            bool   // iss is valid
	sentSYN             bool   // a SYN or SYN,ACK of it counted
	nxtKnown, unaKnown  bool
	edgeKnown           bool
	jumped              bool // nxt was raised by other than captured octets
	acted               bool // did what proves its SYN acknowledged
	ackedFIN            bool // acknowledged its peer's FIN
	zeroWnd             bool // its last segment closed the window
	keptAlive           bool // its last segment was a keep-alive
	sumsRight           bool // sent a segment whose checksum is not wrong
	offeredTS           bool // its SYN carried timestamps
	knownTS             bool // tsRecent is valid
	scale               scale
	synWnd              uint16 // window of its SYN
	mss                 uint16 // largest segment it takes, by its SYN (RFC 9293 §3.7.1); 0 if unknown
	lastWnd             uint16
	acks                bool // it acknowledged anything

	fin      fin
	timeWait capture.Time // TIME_WAIT began, or began again

	tsRecent uint32 // TS.Recent of its peer (RFC 7323 §4.3)
	lastCopy copyID // of its last segment that counted, if counted
	synCopy  copyID // of its last SYN or SYN,ACK
	lastSeq  uint32 // that segment's sequence number
	counted  bool

	minTTL, maxTTL uint8 // of its segments that counted, RSTs left out; 0 if there are none
	idSteps        uint8 // even steps in a row of their IPv4 identification, up to minIDSteps

	rtt      time.Duration // from its peer's part of the handshake to its own answer, 0 if unmeasured
	least    time.Duration // least time from a segment of its peer to the acknowledgment
	probe    capture.Time  // when the peer's octets up to probeEnd were captured
	probeEnd uint32
	probing  bool

	rareEnd
}

// rareEnd is what few ends have anything of: while it is zero, an end fits into
// a smallEnd.
type rareEnd struct {
	cover          cover
	refuted        uint8  // times that SYN_RCVD -> ESTABLISHED was withdrawn
	issProvisional bool   // iss was learnt from an acknowledgment
	behindGap      bool   // octets of it were acknowledged that were not captured, a FIN perhaps
	beforeGap      bool   // it acknowledged them
	gapLate        bool   // it did so after its own FIN
	joined         bool   // sent a segment of a connection older than the capture
	lateAcked      bool   // acknowledged new data after its own FIN: shutdown, not close
	lateReset      bool   // answered data after its own FIN with a bare RST
	blind          bool   // its FIN acknowledged more than it had before: the peer's FIN, perhaps
	beyondFIN      uint64 // frame with the first new octets above its own FIN

	shaken    bool   // a RST in the window met it in FIN_WAIT_2: Linux closes a socket without process by it
	holes     uint8  // in Conn.holes
	sacked    bool   // its peer reports a hole
	sackEdge  uint32 // right edge of the highest SACK block about its octets, if sacked
	maxUnseen uint32 // highest end of its segments that wait, if unseen
	unseen    bool

	rise struct { // of its acknowledgments by exactly one octet, the last time they rose, its peer being unseen
		one bool
		by  cause
	}
	repeats Repeats
	zero    zeroWindow
	tries   [maxTries - 1]uint32 // times of its SYNs after the first, in ms since that

	streak struct { // retransmissions in a row that got no answer
		n   int
		gap time.Duration // between the last two
	}
}

// A fin is the FIN of one end.
type fin struct {
	counts   bool   // valid
	waits    bool   // captured behind a hole: valid when the hole is filled or acknowledged
	inferred bool   // never captured
	seq      uint32 // its own number
	acksPeer bool   // its first copy acknowledged the peer's FIN
	time     capture.Time
	frame    uint64
	copy     copyID // of its last copy
}

func (f *fin) ackedBy(ack uint32) bool { return f.counts && after(ack, f.seq) }

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
	if t := e.lastTransition(); t != nil {
		return t.Time, true
	}
	return 0, false
}

// SinceFrame returns the frame that shows the end's state; zero if it made no
// move.
func (e *End) SinceFrame() uint64 {
	if t := e.lastTransition(); t != nil {
		return t.Frame
	}
	return 0
}

// SYNs returns when the first and the last of the end's SYNs or SYN,ACKs were
// captured; valid if SYN > 0.
func (e *End) SYNs() (first, last capture.Time) { return e.firstSYN, e.lastSYN }

// Basis returns what shows the end's state; Received if it made no move.
func (e *End) Basis() Basis {
	if t := e.lastTransition(); t != nil {
		return t.Basis
	}
	return Received
}

func (e *End) lastTransition() *Transition {
	h, below := e.made()
	if e.cover.on && below != Closed {
		return &e.cover.by
	}
	if n := len(h); n > 0 {
		return &h[n-1]
	}
	return nil
}

// made returns the end's moves without a RST's, and the state that they lead to.
// A closed end has not made those at their end that its peer's segments behind
// the RST would have made.
func (e *End) made() ([]Transition, State) {
	h, s := e.hist, e.state
	for n := len(h); e.cover.on && n > 0 && h[n-1].beyond; n-- {
		h, s = h[:n-1], h[n-1].From
	}
	return h, s
}

// Transitions returns the end's moves in the order in which it made them. A move to CLOSED by a RST keeps the RST's time, and moves
// made by segments that were under way then come before it: times need not rise.
// The slice is valid until the next segment.
func (e *End) Transitions() []Transition {
	h, below := e.made()
	if !e.cover.on || below == Closed {
		return h
	}
	e.cover.by.From = below
	// The cover lies beyond the moves made below it, and is not one of them.
	if len(h) < len(e.hist) {
		h = slices.Clip(h)
	}
	return append(h, e.cover.by)
}

// Entered reports whether the end was ever in state s, and when it last entered
// it.
func (e *End) Entered(s State) (capture.Time, uint64, bool) {
	if i := e.lastTo(s); i >= 0 {
		return e.hist[i].Time, e.hist[i].Frame, true
	}
	return 0, 0, false
}

// ISN returns the end's initial sequence number, if its SYN was captured or can
// be told.
func (e *End) ISN() (uint32, bool) { return e.iss, e.issKnown }

// Unacked returns how many octets, SYN and FIN counted, the end sent beyond its
// peer's last acknowledgment.
func (e *End) Unacked() uint32 {
	switch {
	case !e.nxtKnown || !e.unaKnown && !e.issKnown:
		return 0
	case !e.unaKnown:
		return e.nxt - e.iss
	case after(e.nxt, e.una):
		return e.nxt - e.una
	}
	return 0
}

// Acked reports whether the end acknowledged its peer's SYN, seen to or not.
func (e *End) Acked() bool { return e.last(sndAckOfSYN) >= 0 }

// ClosedWith tells how the end's application closed it, if the wire does.
func (e *End) ClosedWith() Closer {
	switch {
	case e.lateReset:
		return ByClose
	case e.lateAcked:
		return ByShutdown
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
		return e.rtt + answerSlack
	}
	return roundTripUnmeasured
}

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
	case !e.counted:
		return true
	case id.hasTS && e.lastCopy.hasTS && id.tsVal != e.lastCopy.tsVal:
		return after(id.tsVal, e.lastCopy.tsVal)
	case id.hasID && e.lastCopy.hasID:
		return int16(id.ipID-e.lastCopy.ipID) > 0
	}
	return seg.Seq != e.lastSeq || id.newerThan(e.lastCopy)
}

// Addr returns the end's address.
func (e *End) Addr() decode.Addr { return e.addr }

// Port returns the end's port.
func (e *End) Port() uint16 { return e.port }

// Packets returns how many segments the end sent.
func (e *End) Packets() uint64 { return e.packets }

// Bytes returns how many octets the frames of the end's segments had on the wire.
func (e *End) Bytes() uint64 { return e.bytes }

// PayloadBytes returns how many octets of payload the end sent, retransmissions
// included.
func (e *End) PayloadBytes() uint64 { return e.payload }

// SYN returns how many segments with SYN the end sent.
func (e *End) SYN() uint32 { return e.syns }

// FIN returns how many segments with FIN the end sent.
func (e *End) FIN() uint32 { return e.fins }

// RST returns how many segments with RST the end sent.
func (e *End) RST() uint32 { return e.rsts }

// Retransmits returns how many of the end's segments repeated octets.
func (e *End) Retransmits() uint32 { return e.retransmits }

// Sent returns when the end last sent a segment, whether it counted or not; 0 if
// it never did.
func (e *End) Sent() capture.Time { return e.sent }

// SentFrame returns the frame of the end's last segment; 0 if there is none.
func (e *End) SentFrame() uint64 { return e.sentFrame }

// Data returns when the end last sent payload, keep-alive probes left out; 0 if
// never.
func (e *End) Data() capture.Time { return e.data }

// DataFrame returns the frame of that segment; 0 if there is none.
func (e *End) DataFrame() uint64 { return e.dataFrame }
