package track

import (
	"slices"
	"strings"
	"time"
	"unsafe"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// A Basis says what shows that an end changed its state.
type Basis uint8

// Bases of a transition.
const (
	Sent     Basis = iota // the end's own segment
	Received              // a segment of its peer that is taken to have arrived
	Timer                 // the capture's clock
)

func (b Basis) String() string { return [...]string{"sent", "received", "timer"}[b] }

// A Transition is one change of one end's state.
type Transition struct {
	From, To State
	Basis    Basis
	Time     capture.Time
	Frame    uint64 // that shows it

	move   move // the arrow; unused in a move to CLOSED by a RST
	beyond bool // a segment of the peer did it that was captured after a RST closed the end
}

// A Withdrawal is a move taken back because its end contradicted it.
type Withdrawal struct {
	Transition
	By uint64 // frame of the segment that contradicts
}

// A Role is one of the two parties to a connection.
type Role uint8

// The two roles.
const (
	Client Role = iota
	Server
)

func (r Role) String() string { return [...]string{"client", "server"}[r] }

// A RoleBasis says what tells the client from the server.
type RoleBasis uint8

// Bases of roles, the surest first.
const (
	BySYN    RoleBasis = iota // sent the first SYN
	BySYNACK                  // received the first SYN,ACK
	ByPort                    // the other port is likelier to serve
	ByFirst                   // sent the first segment captured
)

func (b RoleBasis) String() string { return [...]string{"syn", "synack", "port", "first"}[b] }

// A Handshake says how a connection began.
type Handshake uint8

// Ways to begin.
const (
	Missed       Handshake = iota // before the capture, or not captured
	Unanswered                    // SYN, and no segment came back; perhaps an ICMP error
	Refused                       // RST answered the SYN
	HalfOpen                      // SYN,ACK never acknowledged by the client
	Complete                      // SYN, SYN,ACK, ACK
	Simultaneous                  // both ends sent SYN (RFC 9293 Figure 7)
)

func (h Handshake) String() string {
	return [...]string{"missed", "unanswered", "refused", "half-open", "complete", "simultaneous"}[h]
}

// A Teardown says how a connection ended.
type Teardown uint8

// Ways to end.
const (
	NotClosed  Teardown = iota // no FIN and no RST that counts
	HalfClosed                 // one end sent FIN
	ByFIN                      // both ends sent FIN
	ByRST                      // a RST that counts, before both FINs
)

func (t Teardown) String() string {
	return [...]string{"none", "half-closed", "fin", "rst"}[t]
}

// An EndReason says why the record of a connection was closed.
type EndReason uint8

// Reasons to close a record.
const (
	CaptureEnd   EndReason = iota // the capture ended first
	EndClosed                     // both ends are closed
	EndReset                      // closed by a RST
	TimeWaitOver                  // 2MSL passed
	Reused                        // the ports were used again
	Evicted                       // the memory limit was reached
	Idle                          // silent for as long as Zeek follows a connection; only with Config.ZeekSplit
)

func (r EndReason) String() string {
	return [...]string{"capture-end", "closed", "reset", "time-wait-over", "reused", "evicted", "idle"}[r]
}

// A Closer is how an application ended its half of a connection, as far as the
// wire tells.
type Closer uint8

// Ways to close.
const (
	NoCloser   Closer = iota // the wire does not tell
	ByClose                  // close(): later data met a RST
	ByShutdown               // shutdown(SHUT_WR): later data was acknowledged
	ByAbort                  // its RST ended the connection
)

func (c Closer) String() string { return [...]string{"", "close", "shutdown", "reset"}[c] }

// ClosedFirst says which end began to close the connection.
type ClosedFirst uint8

// Who closed first.
const (
	NoneFirst ClosedFirst = iota
	ClientFirst
	ServerFirst
	BothFirst
)

func (c ClosedFirst) String() string { return [...]string{"none", "client", "server", "both"}[c] }

// Completeness tells what of a connection's life was captured, with the bits of
// Wireshark's tcp.completeness.
type Completeness uint8

// What was captured.
const (
	SawSYN Completeness = 1 << iota
	SawSYNACK
	SawACK
	SawData
	SawFIN
	SawRST
)

// A Reset describes a RST that closed a connection, and the connection as it was
// then. Arrays are of client and server.
type Reset struct {
	Time  capture.Time
	Frame uint64
	By    Role          // its supposed sender
	ACK   bool          // RST,ACK: an abort; a bare RST is a host's stateless reply
	Idle  time.Duration // since the last segment before it, from either end
	State [2]State

	Marks     Marks         // what tells who made it; see Maker
	Stateless bool          // its supposed sender has shown no socket: it answers a SYN, or a probe without ACK
	Anew      bool          // its sender has sent SYN before it, for a new connection that its target challenged: it has lost this one
	Asked     uint64        // the last segment of its target, if its sender has sent none since; else 0
	Probe     bool          // that is a keep-alive
	Probing   bool          // the last segment of its sender was a keep-alive: the host gives up, not the program
	Quiet     time.Duration // since its sender's last segment, to what its target sent then, or to the RST if that is nothing; 0 if it never sent
	Waiting   capture.Time  // when its target sent the last of what waits for an acknowledgment, repetitions left out; 0: nothing waits
	Took      uint32        // octets of its target that it is the first to acknowledge
	Unacked   [2]uint32     // octets of payload that neither it nor what came before acknowledges
	Data      [2]capture.Time
	DataFrame [2]uint64 // of the last payload sent; 0: none

	Again        uint64 // its sender's next RST, after its target went on as if this one had been lost; 0: none
	AgainUnacked uint32 // octets of its target that were unacknowledged by then
	AgainData    uint64 // the last of them
}

// An ICMPNote describes an ICMP error that quoted a segment of a connection.
type ICMPNote struct {
	Time       capture.Time
	Frame      uint64
	From       decode.Addr
	Type, Code uint8
	V6         bool
	Of         Role   // who sent the segment
	SYN        bool   // it was the end's SYN or SYN,ACK
	N          int    // how many there were in all
	First      uint64 // frame of the first
}

// Conn is one connection: one incarnation of a pair of addresses and ports in
// one encapsulation (RFC 9293 §3.4.1).
type Conn struct {
	*record
	ends      [2]End
	EndReason EndReason

	key  key
	hash uint32
	ref  ref // where the record is kept
	told *Zeek

	// Of the segment at hand.
	notes Notes
	order uint32 // how many were captured before it
	now   capture.Time

	rareConn
}

// rareConn is what few connections have anything of: while it is zero, and so
// are both rareEnds, the record is all of a connection.
type rareConn struct {
	rareFacts
	far         *[numStamps]stamp // instead of record.stamps, if one does not fit there
	more        []stamp           // moments that the record has no room for
	held        []heldSegment
	holes       []hole
	withdrawals []Withdrawal
	candidates  []candidate
	answer      []decode.Segment // another SYN,ACK of the server than its first, if any
	refuted     []Refuted
	blind       []Blind
	older       *Conn // the incarnation before, while it can still get segments
}

type rareFacts struct {
	succeeded                bool   // a newer incarnation took the connection's place in the tracker's table
	crossed                  bool   // both ends sent SYN
	idle                     bool   // it was silent for too long
	evicted                  bool   // it had to make room
	reused                   bool   // a newer incarnation took its addresses and ports
	anew                     bool   // an end of it opened the connection anew, and says so by RST
	rstACK                   uint8  // 1 + index of the sender of the last RST,ACK that counted
	moreDuplicates, moreGaps uint32 // in units of 256
	withdrawn                int    // moves taken back
	blinds                   int    // all of which blind has the first
	// nil: there is none
	rst     *Reset
	icmp    *ICMPNote // Of is the index of an end
	reuse   *Reuse
	invalid *Invalid // By is the index of an end
	synData *SYNData
	badAck  *BadAck // By is the index of an end
}

// Plain reports whether there is nothing about the connection that few have: no RST,
// no ICMP error, nothing repeated that got no answer, no SYN sent again, no closed
// window, nothing invalid or withdrawn. The record is all of it then.
func (c *Conn) Plain() bool {
	r := &c.rareConn
	return len(r.more)+len(r.held)+len(r.holes)+len(r.withdrawals)+len(r.candidates)+len(r.answer)+len(r.refuted)+len(r.blind) == 0 &&
		r.far == nil && r.older == nil && isZero(&r.rareFacts) && isZero(&c.ends[0].rareEnd) && isZero(&c.ends[1].rareEnd)
}

// zeros is as long as what isZero takes.
var zeros = strings.Repeat("\x00", int(max(unsafe.Sizeof(rareFacts{}), unsafe.Sizeof(rareEnd{}))))

// isZero reports whether v is zero, padding included, which is zero in what is
// never set but as a whole. It costs a few nanoseconds; comparing field by field
// would cost as much as all else that is done with a segment.
func isZero[T rareFacts | rareEnd](v *T) bool {
	var zero T
	n := unsafe.Sizeof(zero)
	return unsafe.String((*byte)(unsafe.Pointer(v)), n) == zeros[:n]
}

const (
	maxWithdrawals = 8 // kept for reports; all are counted
	maxHeld        = 8 // segments that wait, of one connection
	maxCandidates  = 4 // of one connection
	maxOlder       = 4 // incarnations of one pair of addresses and ports that can still get segments
	maxRefuted     = 2 // after this many repeated SYN,ACKs a server must act to be ESTABLISHED
)

// Client returns the end that opened the connection, as far as can be told.
func (c *Conn) Client() *End { return &c.ends[c.client] }

// Server returns the other end.
func (c *Conn) Server() *End { return &c.ends[1-c.client] }

// Ends returns client and server.
func (c *Conn) Ends() [2]*End { return [2]*End{c.Client(), c.Server()} }

// Role returns the role of e, which must be an end of c.
func (c *Conn) Role(e *End) Role {
	if e == c.Client() {
		return Client
	}
	return Server
}

// index returns which end of c e is.
func (c *Conn) index(e *End) uint8 {
	if e == &c.ends[0] {
		return 0
	}
	return 1
}

// Peer returns the other end than e, which must be an end of c.
func (c *Conn) Peer(e *End) *End {
	return &c.ends[1-c.index(e)]
}

// OneSided reports whether only one end was seen to send, although it answers
// its peer: the other direction took another path, or was filtered out.
func (c *Conn) OneSided() bool {
	for i := range c.ends {
		if c.ends[i].packets == 0 {
			return c.ends[1-i].is(acks)
		}
	}
	return false
}

// Handshake tells how the connection began.
func (c *Conn) Handshake() Handshake {
	cl, sv := c.Client(), c.Server()
	switch {
	case c.crossed:
		return Simultaneous
	case c.completeness&SawSYNACK != 0 && c.acked():
		return Complete
	case c.completeness&SawSYNACK != 0 && cl.is(sentSYN) && !cl.Acked():
		return HalfOpen
	case !cl.is(sentSYN) || c.Midstream || cl.Acked():
		return Missed
	case c.rst != nil && sv.initial == Listen && sv.state == Listen && c.rst.By == Server:
		return Refused
	}
	return Unanswered
}

// HandshakeTime returns the time from the first SYN to the acknowledgment that
// completes the handshake, if both were captured.
func (c *Conn) HandshakeTime() (time.Duration, bool) {
	if cl := c.Client(); c.acked() && cl.SYN() > 0 && c.completeness&SawSYNACK != 0 {
		first, _ := cl.SYNs()
		return c.at(c.ackedAt).time.Sub(first), true
	}
	return 0, false
}

// Teardown tells how the connection ended.
func (c *Conn) Teardown() Teardown {
	n := 0
	for i := range c.ends {
		if c.ends[i].is(finCounts) {
			n++
		}
	}
	switch {
	case n == 2:
		return ByFIN
	case c.ends[0].cover.on && !c.ends[0].cover.icmp || c.ends[1].cover.on && !c.ends[1].cover.icmp:
		return ByRST
	case n == 1:
		return HalfClosed
	}
	return NotClosed
}

// ClosedFirst tells which end began to close the connection: both if both
// entered FIN_WAIT_1, else the end that did, else the sender of the last RST,ACK
// that counted.
func (c *Conn) ClosedFirst() ClosedFirst {
	_, _, cl := c.Client().Entered(FinWait1)
	_, _, sv := c.Server().Entered(FinWait1)
	switch {
	case cl && sv:
		return BothFirst
	case cl:
		return ClientFirst
	case sv:
		return ServerFirst
	case c.rstACK == 0 || !c.ends[0].cover.on && !c.ends[1].cover.on:
		return NoneFirst
	case c.rstACK-1 == c.client:
		return ClientFirst
	}
	return ServerFirst
}

// Reset returns the last RST that counted.
func (c *Conn) Reset() (Reset, bool) {
	return value(c.rst), c.rst != nil && (c.ends[0].cover.on || c.ends[1].cover.on)
}

// ICMP returns the last ICMP error that quoted a segment of the connection.
func (c *Conn) ICMP() (ICMPNote, bool) {
	n := value(c.icmp)
	n.Of = c.Role(&c.ends[n.Of])
	return n, c.icmp != nil
}

// Withdrawals returns the first moves that were taken back; Withdrawn counts
// them all. The slice is valid until the next segment.
func (c *Conn) Withdrawals() []Withdrawal { return c.withdrawals }

// Last returns the frame of the connection's last segment.
func (c *Conn) Last() uint64 { return max(c.ends[0].SentFrame(), c.ends[1].SentFrame()) }

// End returns when the connection's latest segment was captured.
func (c *Conn) End() capture.Time { return max(c.Start, c.ends[0].Sent(), c.ends[1].Sent()) }

// Context returns the connection's encapsulation; see decode.Decoder.Context.
func (c *Conn) Context() uint32 {
	if c.told != nil {
		return c.told.context // with Config.ZeekSplit it is not in the key
	}
	return c.short.context
}

// Stream returns the number of the TCP stream that the connection's first segment
// belongs to, as Wireshark counts the streams of a file; false if segments were not
// numbered.
func (c *Conn) Stream() (uint32, bool) { return c.stream - 1, c.stream != 0 }

// Zeek returns what Zeek tells of the connection, while it is reported; false if
// Config.History is not set.
func (c *Conn) Zeek() (Zeek, bool) {
	if c.told == nil {
		return Zeek{}, false
	}
	return *c.told, true
}

// Gaps returns how many times octets were acknowledged that were not captured.
func (c *Conn) Gaps() int { return int(c.moreGaps)<<8 | int(c.gaps) }

// Duplicates returns how many mirror duplicates were left out.
func (c *Conn) Duplicates() int { return int(c.moreDuplicates)<<8 | int(c.duplicates) }

// Withdrawn returns how many moves were taken back.
func (c *Conn) Withdrawn() int { return c.withdrawn }

// Completeness tells what of the connection's life was captured.
func (c *Conn) Completeness() Completeness { return c.completeness }

// Clone returns a copy of the connection that stays valid.
func (c *Conn) Clone() *Conn {
	d := newConn()
	r := *c.record
	d.attach(&r, noRef, &c.key, c.hash)
	d.EndReason, d.rareConn = c.EndReason, c.rareConn
	d.far = clone(c.far)
	d.more, d.held, d.holes = slices.Clone(c.more), slices.Clone(c.held), slices.Clone(c.holes)
	d.withdrawals, d.candidates, d.answer = slices.Clone(c.withdrawals), slices.Clone(c.candidates), slices.Clone(c.answer)
	d.rst, d.icmp, d.reuse, d.invalid, d.synData, d.badAck = clone(c.rst), clone(c.icmp), clone(c.reuse), clone(c.invalid), clone(c.synData), clone(c.badAck)
	d.refuted, d.blind, d.older = slices.Clone(c.refuted), slices.Clone(c.blind), nil
	for i := range d.ends {
		e := &d.ends[i]
		e.rareEnd = c.ends[i].rareEnd
		e.repeats, e.zero, e.tries = clone(e.repeats), clone(e.zero), clone(e.tries)
	}
	return d
}

// value returns what p points to, or if that is nil, the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// own returns what *p points to, made if it is nil.
func own[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// clone returns a copy of what p points to; nil of nil.
func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// Empty returns a connection that nothing is known of.
func Empty() *Conn {
	c := newConn()
	c.attach(new(record), noRef, new(key), 0)
	return c
}
