package track

import "tcplife/decode/capture"

// A connection is kept in two parts. What every connection has is its record,
// free of pointers, in an arena that the garbage collector never looks at. What
// few have anything of (segments that wait, holes, a RST, older incarnations) is
// in the Conn around the record, which exists only while there is something in
// it: of the other connections the store makes one Conn serve all, one after the
// other.

// A record is what every connection has.
type record struct {
	ID    uint64       // counts connections by first segment, from 1; gaps are possible; 0: the record holds none
	First uint64       // frame of the first segment
	Start capture.Time // its time
	over  capture.Time // when both ends were over; valid if isOver

	short  shortKey
	kept   uint32 // 1 + the number of its own Conn; 0 if it needs none
	place  uint32 // in the queue of connections that are over, if queued
	stream uint32 // decode.Segment.Stream of the first segment
	zeek   uint32 // 1 + number of its zeekConn; 0: none

	RoleBasis    RoleBasis
	completeness Completeness
	client       uint8  // index of the client
	events       uint8  // how many moments are kept
	duplicates   uint8  // go on in rareFacts
	gaps         uint8  // likewise
	ackedAt      moment // when the client acknowledged the server's SYN, with another than the first segment; 0: it did not
	v6           bool   // short is of IPv6 addresses
	swapped      bool   // the first end is the key's second
	Midstream    bool   // the handshake was not captured
	isOver       bool
	queued       bool // in the tracker's queue of connections that are over

	ends   [2]endRecord // the first sent the first segment
	stamps stamps
}

// acked reports whether the client acknowledged the server's SYN.
func (r *record) acked() bool { return r.ackedAt != 0 }

// An endRecord is what every end has.
type endRecord struct {
	iss, una, nxt, edge uint32 // ISS, SND.UNA, SND.NXT (highest octet sent + 1), right edge of the send window
	flags               flags
	lastSeq             uint32 // sequence number of its last segment that counted, if counted
	lastTS              uint32 // timestamp of that segment, if lastHasTS
	tsRecent            uint32 // TS.Recent of its peer (RFC 7323 §4.3)
	packets             uint32
	bytes, payload      uint32 // counters go on in rareEnd.carry
	rtt                 uint32 // microseconds from its peer's part of the handshake to its own answer; 0 if unmeasured
	finSeq              uint32 // number of its FIN
	copyTS              uint32 // timestamp of the last copy of its FIN if it has one, else of its SYN or SYN,ACK until it acted

	lastID  uint16 // IPv4 identification, as lastTS
	copyIP  uint16 // IPv4 identification, as copyTS
	lastWnd uint16
	synWnd  uint16 // window of its SYN
	mss     uint16 // largest segment it takes, by its SYN (RFC 9293 §3.7.1); 0 if unknown

	scale                         scale
	state                         State  // below a cover
	initial                       State  // before its first move
	n                             uint8  // moves made
	finAt                         moment // when its FIN was captured first, or had been sent at the latest
	minTTL, maxTTL                uint8  // of its segments that counted, RSTs left out; 0 if there are none
	idSteps                       uint8  // even steps in a row of their IPv4 identification, up to minIDSteps
	syns, fins, rsts, retransmits uint8  // segments with the flag, and such as repeat octets; go on in rareEnd.carry
	moves                         [inlineMoves]moved
}

// flags are what is true of an end.
type flags uint32

const (
	sentAny     flags = 1 << iota // it sent a segment
	sentData                      // one with payload
	issKnown                      // iss is valid
	sentSYN                       // a SYN or SYN,ACK of it counted
	nxtKnown                      // nxt is valid
	unaKnown                      // una is valid
	edgeKnown                     // edge is valid
	jumped                        // nxt was raised by other than captured octets
	acted                         // did what proves its SYN acknowledged
	ackedFIN                      // acknowledged its peer's FIN
	zeroWnd                       // its last segment closed the window
	keptAlive                     // its last segment was a keep-alive
	sumsRight                     // sent a segment whose checksum is not wrong
	offeredTS                     // its SYN carried timestamps
	knownTS                       // tsRecent is valid
	acks                          // it acknowledged anything
	counted                       // a segment of it counted
	joined                        // sent a segment of a connection older than the capture
	finCounts                     // it sent a FIN
	finWaits                      // its FIN was captured behind a hole, and counts when that is filled or acknowledged
	finInferred                   // its FIN was never captured
	finAcksPeer                   // the first copy of its FIN acknowledged the peer's FIN
	lastHasTS                     // lastTS is valid
	lastHasID                     // lastID is valid
	copyHasTS                     // copyTS is valid
	copyHasID                     // copyIP is valid
	fastOpen                      // of the connection, with its first end: data on the SYN, which the SYN,ACK acknowledged (RFC 7413)

	hasFIN   = finCounts | finWaits
	finFlags = finCounts | finWaits | finInferred | finAcksPeer
)

// is reports whether one of f is true of the end.
func (e *endRecord) is(f flags) bool { return e.flags&f != 0 }

func (e *endRecord) set(f flags, v bool) {
	e.flags &^= f
	if v {
		e.flags |= f
	}
}

// maxMoves is how many arrows lie on the longest way through Figure 5: from
// CLOSED by a simultaneous open and a simultaneous close to CLOSED.
const maxMoves = 7

// inlineMoves is how many of them the record has room for: as many as a life
// takes without either, but for the end of TIME_WAIT.
const inlineMoves = 5

// A moved is one move of an end: the arrow, and the moment of what made it.
type moved struct {
	how uint8 // the arrow, the basis << 4, beyond << 6
	at  moment
}

func (m moved) move() move   { return move(m.how & 15) }
func (m moved) basis() Basis { return Basis(m.how >> 4 & 3) }
func (m moved) beyond() bool { return m.how>>6 != 0 }

// A stamp is a time and a frame.
type stamp struct {
	time  capture.Time
	frame uint64
}

// Where a connection's stamps are: of the last segment and the last payload of
// both ends, and of its first moments but for the opening.
const (
	stampSent   = 0 // + index of the end
	stampData   = 2 // + index of the end
	stampEvents = 4
	maxEvents   = 6 // SYN,ACK, ACK, FIN, ACK, FIN, ACK
	numStamps   = stampEvents + maxEvents
)

// stamps keeps stamps by their distance from the connection's start: 48 bits of
// nanoseconds, 78 hours, and 32 bits of frames. A connection that has one farther
// off has all of them in rareConn.far.
type stamps struct {
	lo    [numStamps]uint32
	frame [numStamps]uint32
	hi    [numStamps]uint16
}

// stamp returns what was kept at place i.
func (c *Conn) stamp(i int) stamp {
	if c.far != nil {
		return c.far[i]
	}
	m := &c.stamps
	return stamp{c.Start + capture.Time(uint64(m.hi[i])<<32|uint64(m.lo[i])), c.First + uint64(m.frame[i])}
}

// setStamp keeps a stamp at place i.
func (c *Conn) setStamp(i int, t capture.Time, frame uint64) {
	d, f := uint64(t-c.Start), frame-c.First
	if c.far == nil && d < 1<<48 && f < 1<<32 {
		m := &c.stamps
		m.lo[i], m.hi[i], m.frame[i] = uint32(d), uint16(d>>32), uint32(f)
		return
	}
	if c.far == nil {
		far := new([numStamps]stamp)
		for j := range far {
			far[j] = c.stamp(j)
		}
		c.far = far
	}
	c.far[i] = stamp{t, frame}
}

// A moment is the number of an event in a connection's life: 0 its first segment,
// then those that the record has room for, then those in rareConn.more.
type moment uint8

// moment returns the number of an event.
func (c *Conn) moment(t capture.Time, frame uint64) moment {
	if frame == c.First && t == c.Start {
		return 0
	}
	n := c.events
	for i := n; i > 0 && i+3 > n; i-- { // the latest: one segment may move both ends
		if c.at(moment(i)) == (stamp{t, frame}) {
			return moment(i)
		}
	}
	if n >= maxEvents {
		c.forgetMoments()
		n = c.events
	}
	c.events++
	if n < maxEvents {
		c.setStamp(stampEvents+int(n), t, frame)
	} else {
		c.more = append(c.more, stamp{t, frame})
	}
	return moment(c.events)
}

// at returns the event of that number.
func (c *Conn) at(m moment) stamp {
	switch {
	case m == 0:
		return stamp{c.Start, c.First}
	case m <= maxEvents:
		return c.stamp(stampEvents + int(m) - 1)
	}
	return c.more[m-maxEvents-1]
}

// forgetMoments drops the events that nothing refers to any more.
func (c *Conn) forgetMoments() {
	var all [256]stamp
	for i := range c.events {
		all[i] = c.at(moment(i + 1))
	}
	c.events, c.more = 0, c.more[:0]
	var to [256]moment
	keep := func(m *moment) {
		if *m == 0 {
			return
		}
		if to[*m] == 0 {
			e := all[*m-1]
			if c.events < maxEvents {
				c.setStamp(stampEvents+int(c.events), e.time, e.frame)
			} else {
				c.more = append(c.more, e)
			}
			c.events++
			to[*m] = moment(c.events)
		}
		*m = to[*m]
	}
	keep(&c.ackedAt)
	for i := range c.ends {
		e := &c.ends[i]
		for j := range int(e.n) {
			keep(&e.made(j).at)
		}
		if e.is(hasFIN) {
			keep(&e.finAt)
		}
	}
}

// A shortKey is a key as a record has it: the IPv4 addresses, or if record.v6 is
// set, in a the number of the pair of addresses in store.pairs.
type shortKey struct {
	a, b    uint32
	ap, bp  uint16
	context uint32
}
