package track

import (
	"cmp"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// A move is what the capture shows of one arrow of RFC 9293, Figure 5.
//
// The figure labels an arrow with an event over an action, as in
//
//	rcv FIN
//	-------
//	snd ACK
//
// and the event happens inside the host, out of sight. So a move is named for
// the action, which is on the wire, and an end takes an arrow when it is seen to
// act. Where the action is "x", none, the move is the event after all, and the
// acknowledgment that was captured is presumed to have arrived.
type move uint8

const (
	sndSYN         move = iota
	sndSYNACK           // SYN,ACK
	sndAckOfSYN         // any segment that acknowledges the peer's SYN
	sndFIN              //
	sndAckOfFIN         // any segment that acknowledges the peer's FIN
	sndAckOfFINACK      // the same, when that FIN acknowledged its own (Note 2)
	rcvAckOfSYN         // action "x", out of SYN_RCVD
	rcvAckOfFIN         // action "x", out of FIN_WAIT_1, CLOSING and LAST_ACK
	timeout2MSL         //
	join                // not of the figure: both ends agree on a connection older than the capture
	numMoves
)

// next is Figure 5: a row is a box, an entry is an arrow leaving it. Where no
// arrow leaves, the entry is zero and the end stays where it is, which is what
// retransmissions and repeated acknowledgments should do.
//
// Sixteen of the figure's twenty arrows are here, and its Note 2. A passive
// OPEN, and a CLOSE in LISTEN or SYN_SENT, put nothing on the wire. Resets are
// left to reset.go, as the figure leaves them out (Note 3). CLOSED stands for
// LISTEN too where the first segment of an end is SYN,ACK.
var next = [numStates][numMoves]State{
	Unknown:     {join: Established},
	Closed:      {sndSYN: SynSent},
	Listen:      {sndSYN: SynSent, sndSYNACK: SynReceived},
	SynSent:     {sndSYNACK: SynReceived, sndAckOfSYN: Established},
	SynReceived: {rcvAckOfSYN: Established, sndFIN: FinWait1},
	Established: {sndFIN: FinWait1, sndAckOfFIN: CloseWait},
	FinWait1:    {rcvAckOfFIN: FinWait2, sndAckOfFIN: Closing, sndAckOfFINACK: TimeWait},
	FinWait2:    {sndAckOfFIN: TimeWait},
	CloseWait:   {sndFIN: LastAck},
	Closing:     {rcvAckOfFIN: TimeWait},
	LastAck:     {rcvAckOfFIN: Closed},
	TimeWait:    {timeout2MSL: Closed},
}

// A cause is what made an end move: a segment, or the clock.
type cause struct {
	time  capture.Time
	frame uint64
	basis Basis
}

func sent(seg *decode.Segment) cause     { return cause{seg.Time, seg.Frame, Sent} }
func received(seg *decode.Segment) cause { return cause{seg.Time, seg.Frame, Received} }

// take moves the end along the arrow m, if one leaves its state, and reports
// whether one did.
func (e *End) take(m move, by cause) bool {
	s := next[e.state][m]
	if s == 0 || e.n == maxMoves {
		return false
	}
	at := e.c.moment(by.time, by.frame)
	*e.made(int(e.n)) = moved{uint8(m) | uint8(by.basis)<<4, at}
	e.n++
	e.state = s
	if s == TimeWait {
		e.lingers = lingering{}
	}
	return true
}

// last returns the index of the end's last move m, or -1.
func (e *End) last(m move) int {
	for i := int(e.n) - 1; i >= 0; i-- {
		if e.made(i).move() == m {
			return i
		}
	}
	return -1
}

// withdraw takes back move i of the end, because seg contradicts it. The moves
// after it are made again from the state before it, those that still have an
// arrow.
func (c *Conn) withdraw(e *End, i int, seg *decode.Segment) {
	c.noteWithdrawn(e.move(i), seg)
	if i == 0 && e.SYN() > 0 && !e.times.set {
		e.times.first, e.times.last = e.SYNs()
		e.times.set = true
	}
	n := int(e.n)
	e.state, e.n = e.stateBefore(i), uint8(i)
	for j := i + 1; j < n; j++ {
		m := *e.made(j)
		if s := next[e.state][m.move()]; s != 0 {
			*e.made(int(e.n)) = m
			e.n++
			e.state = s
		}
	}
	for j := int(e.n); j < n; j++ {
		*e.made(j) = moved{}
	}
	if e.state != TimeWait {
		e.lingers = lingering{}
	}
}

func (c *Conn) noteWithdrawn(t Transition, seg *decode.Segment) {
	c.withdrawn++
	c.notes |= NoteWithdrawn
	if len(c.withdrawals) < maxWithdrawals {
		c.withdrawals = append(c.withdrawals, Withdrawal{Transition: t, By: seg.Frame})
	}
}

// step moves the sender and the receiver of one segment that counts. The flags
// are looked at in the order of RFC 9293 §3.10.7.4 (SYN, ACK, FIN), so a segment
// that both acknowledges a FIN and carries one takes two arrows in turn.
func (c *Conn) step(snd, rcv *End, seg *decode.Segment) {
	f := seg.Flags
	if f.Has(decode.ACK) && rcv.is(issKnown) && after(seg.Ack, rcv.iss) {
		snd.take(sndAckOfSYN, sent(seg))
		if rcv.state == SynReceived && rcv.refuted < maxRefuted {
			c.presume(rcv, rcvAckOfSYN, seg)
		}
	}
	if f.Has(decode.ACK) && rcv.finAckedBy(seg.Ack) {
		snd.takeAckOfFIN(rcv, sent(seg))
		switch {
		case rcv.state == FinWait1 && c.finAhead(snd, seg) && !rcv.is(ackedFIN):
			// The ACK lies behind a FIN that the end has yet to acknowledge:
			// whether it moves to FIN_WAIT_2 or CLOSING is seen when it does.
		default:
			c.presume(rcv, rcvAckOfFIN, seg)
		}
	}
	if f.Has(decode.FIN) && snd.is(finCounts) && seg.Seq+seg.Len == snd.finSeq {
		c.takeFIN(snd, seg)
	}
}

// presume moves an end along an arrow without an action, because seg, its peer's,
// was captured. A segment behind the RST that closed the end moves it only if it
// turns out to live.
func (c *Conn) presume(e *End, m move, seg *decode.Segment) {
	if e.take(m, received(seg)) {
		if e.cover.on && c.order > e.cover.order {
			e.made(int(e.n) - 1).how |= 1 << 6
		}
	}
}

// takeAckOfFIN moves an end that acknowledges its peer's FIN. From FIN_WAIT_1
// the first captured copy of that FIN decides: if it acknowledged the end's own
// FIN, both are done (Note 2); else the FINs crossed.
func (e *End) takeAckOfFIN(peer *End, by cause) {
	e.set(ackedFIN, true)
	if e.state == FinWait1 && peer.is(finAcksPeer) {
		e.take(sndAckOfFINACK, by)
		return
	}
	if e.take(sndAckOfFIN, by) && e.state == Closing && e.finAckedBy(e.una) {
		e.take(rcvAckOfFIN, cause{by.time, by.frame, Received})
	}
}

// finAhead reports whether seg carries a FIN of snd or lies after one.
func (c *Conn) finAhead(snd *End, seg *decode.Segment) bool {
	return seg.Flags.Has(decode.FIN) || snd.is(finCounts) && after(seg.Seq, snd.finSeq)
}

// takeFIN moves the sender of a FIN. With Fast Open a server may close before
// its SYN is acknowledged: a FIN within a round trip of that ACK left before the
// ACK arrived (RFC 7413 §4.2.2).
func (c *Conn) takeFIN(snd *End, seg *decode.Segment) {
	if i := snd.last(rcvAckOfSYN); c.ends[0].is(fastOpen) && snd.state == Established && i >= 0 && i == int(snd.n)-1 &&
		snd.made(i).basis() == Received && seg.Time.Sub(snd.when(i)) < cmp.Or(snd.measured(), roundTripUnmeasured) {
		c.withdraw(snd, i, seg)
	}
	snd.take(sndFIN, snd.finSent())
}
