package track

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// segment lets seg do in c what it does to a connection: reset it, open it, or
// move it on.
func (c *Conn) segment(snd, rcv *End, seg *decode.Segment) {
	f := seg.Flags
	if len(c.blind) > 0 {
		c.witness(snd, seg)
	}
	switch {
	case seg.Checksum == decode.ChecksumBad && (snd.is(sumsRight) || f.Has(decode.RST)):
		c.notes |= NoteBadChecksum
	case neverCounts(seg):
		c.notes |= NoteInvalid
	case f.Has(decode.RST):
		c.reset(snd, rcv, seg)
	case f.Has(decode.SYN | decode.ACK):
		c.synack(snd, rcv, seg)
	case f.Has(decode.SYN):
		c.syn(snd, rcv, seg)
	default:
		c.ordinary(snd, rcv, seg)
	}
	snd.noteSent(seg.Time, seg.Frame)
	// An end whose checksums are all wrong had them finished, or its addresses
	// changed, after the capture point: its segments count, but for a RST, which a
	// forger gains most by. One wrong checksum among right ones is damage or a
	// forger's.
	snd.set(sumsRight, snd.is(sumsRight) || seg.Checksum == decode.ChecksumGood || seg.Checksum == decode.ChecksumOffload)
}

// neverCounts reports whether no stack takes the segment, or lets it move a
// connection: no flags; SYN with FIN or RST; FIN, or data without SYN or RST,
// without ACK (RFC 9293 §3.10.7.4).
func neverCounts(seg *decode.Segment) bool {
	f := seg.Flags
	if f.Has(decode.SYN) {
		return f.Any(decode.FIN | decode.RST)
	}
	return !f.Any(decode.ACK | decode.RST)
}

// remember keeps what tells copies of seg, which counts, from later segments.
func (e *End) remember(seg *decode.Segment) {
	id := identify(seg)
	e.fingerprint(seg)
	if seg.Flags.Has(decode.SYN) {
		e.keepSYNCopy(id)
	}
	if !e.is(counted) || !id.olderThan(e.lastCopy()) || seg.Len > 0 && seg.End() == e.nxt {
		e.keepLastCopy(id)
		e.lastSeq = seg.Seq
		e.set(counted, true)
	}
	if seg.Flags.Has(decode.SYN) {
		return
	}
	e.lastWnd = seg.Wnd
	e.set(zeroWnd, seg.Wnd == 0 && !seg.NoWnd)
}

// syn takes a SYN that begins this connection, repeats that SYN, or crosses it.
func (c *Conn) syn(snd, rcv *End, seg *decode.Segment) {
	if snd.is(sentSYN) {
		switch {
		case snd.is(acted):
			c.contradict(snd, seg)
		case identify(seg).newerThan(snd.synCopy()):
			c.contradict(snd, seg)
			snd.remember(seg)
		}
		return
	}
	snd.beginSYN(seg)
	snd.remember(seg)
	if rcv.packets > 0 && rcv.is(sentSYN) && rcv.state != SynSent {
		return // its SYN,ACK was captured first
	}
	if snd.take(sndSYN, sent(seg)) && rcv.is(sentSYN) {
		c.crossed = true
	}
	c.ends[0].set(fastOpen, c.ends[0].is(fastOpen) || seg.Len > 0)
}

// beginSYN takes the numbers and options of an end's SYN or SYN,ACK.
func (e *End) beginSYN(seg *decode.Segment) {
	e.issProvisional = false
	e.set(sentSYN|issKnown, true)
	e.iss = seg.Seq
	if !e.is(nxtKnown) || after(seg.End(), e.nxt) {
		e.nxt = seg.End()
		e.set(nxtKnown, true)
		e.set(jumped, false)
	}
	e.synWnd = seg.Wnd
	if seg.Opts.Has(decode.OptMSS) {
		e.mss = seg.MSS
	}
	switch {
	case seg.Opts.Has(decode.OptScale):
		e.scale = scaleBase + scale(seg.Scale)
	case !seg.Opts.Has(decode.OptUnknown):
		e.scale = scaleNone
	}
	e.set(offeredTS, seg.Opts.Has(decode.OptTimestamps) || seg.Opts.Has(decode.OptUnknown))
}

// synack takes a SYN,ACK of this connection.
func (c *Conn) synack(snd, rcv *End, seg *decode.Segment) {
	switch {
	case rcv.is(sentSYN) && !between(rcv.iss+1, seg.Ack, later(rcv.iss+1, rcv.nxt)):
		c.notes |= NoteOutside
		return
	case snd.is(sentSYN) && !snd.issProvisional && snd.iss != seg.Seq:
		// Another answer to the same SYN: which one the client takes, it tells.
		c.notes |= NoteWaits
		c.answer = append(c.answer[:0], *seg)
		return
	case !snd.is(sentSYN) || snd.issProvisional:
		if snd.issProvisional && snd.iss != seg.Seq {
			if c.acked() && snd.is(acted) {
				c.notes |= NoteOutside
				return
			}
			c.unlearn(snd, rcv, seg)
		}
		snd.beginSYN(seg)
		snd.take(sndSYNACK, sent(seg))
		snd.measure(rcv, seg)
		c.ends[0].set(fastOpen, c.ends[0].is(fastOpen) && after(seg.Ack, rcv.iss+1))
	case snd.state == SynSent: // simultaneous open
		snd.take(sndSYNACK, sent(seg))
		if snd.is(unaKnown) && after(snd.una, snd.iss) {
			snd.take(rcvAckOfSYN, received(seg)) // the peer's SYN,ACK was captured first
		}
	default:
		c.repeatedSYNACK(snd, seg)
	}
	snd.remember(seg)
	if rcv.unheard(Closed) && rcv.take(sndSYN, received(seg)) || !rcv.is(issKnown) {
		rcv.iss = seg.Ack - 1
		rcv.set(issKnown, true)
		rcv.raise(seg.Ack)
		rcv.set(sentSYN, true)
		rcv.set(offeredTS, snd.is(offeredTS)) // which it would not have, had the SYN not (RFC 7323 §3.2)
	}
	c.acknowledge(snd, rcv, seg)
	if rcv.state == SynReceived && rcv.refuted < maxRefuted && between(rcv.iss+1, seg.Ack, rcv.nxt) {
		c.presume(rcv, rcvAckOfSYN, seg)
	}
}

// unlearn takes back what a server's segments proved by a provisional ISS, which
// its SYN,ACK shows to be another's.
func (c *Conn) unlearn(server, client *End, seg *decode.Segment) {
	for _, e := range []struct {
		*End
		to State
	}{{server, server.initial}, {client, SynSent}} {
		for e.n > 0 && e.state != e.to {
			c.withdraw(e.End, int(e.n)-1, seg)
		}
	}
	server.forgetFIN()
	server.set(nxtKnown|unaKnown, false)
	client.set(ackedFIN, false)
	c.ackedAt = 0
}

// chooseAnswer makes the other SYN,ACK of the server the one that counts, if seg,
// of either end, has its number and not the first one's.
func (c *Conn) chooseAnswer(server, client *End, n uint32) {
	if len(c.answer) == 0 || client.state != SynSent || n == server.iss+1 || n != c.answer[0].Seq+1 {
		return
	}
	server.set(nxtKnown|unaKnown, false)
	server.beginSYN(&c.answer[0])
	c.acknowledge(server, client, &c.answer[0])
	c.answer = c.answer[:0]
}

// repeatedSYNACK withdraws a server's presumed ESTABLISHED: it would not repeat
// its SYN,ACK, had the client's acknowledgment been taken. A repetition within a
// round trip of that acknowledgment was under way.
func (c *Conn) repeatedSYNACK(snd *End, seg *decode.Segment) {
	if !identify(seg).newerThan(snd.synCopy()) {
		return
	}
	c.contradict(snd, seg)
	c.refuseHeld(snd, seg)
	i := snd.last(rcvAckOfSYN)
	if i < 0 || i != int(snd.n)-1 || snd.is(acted) || snd.made(i).basis() != Received ||
		snd.underWay(seg, snd.when(i)) {
		return
	}
	c.withdraw(snd, i, seg)
	snd.refuted++
}

// unheard reports whether the end is presumed to be in s, having made no move.
func (e *End) unheard(s State) bool { return e.state == s && e.n == 0 }

// measure takes the end's round trip from its answer in the handshake.
func (e *End) measure(asker *End, seg *decode.Segment) {
	if _, asked := asker.SYNs(); asker.SYN() > 0 && e.rtt == 0 && seg.Time >= asked {
		const unit = capture.Time(time.Microsecond)
		e.rtt = uint32(min(max((seg.Time-asked+unit-1)/unit, 1), 1<<32-1))
		e.probe = probe{}
	}
}

// ordinary takes a segment that is neither SYN nor RST.
func (c *Conn) ordinary(snd, rcv *End, seg *decode.Segment) {
	if !c.joinHandshake(snd, rcv, seg) {
		return
	}
	switch v := c.judge(snd, rcv, seg); v {
	case counts:
		c.decideHeld(snd, seg)
		c.apply(snd, rcv, seg)
		if c.release() {
			c.step(snd, rcv, seg) // it may acknowledge what waited
		}
	case unseenAck, beyondWindow:
		if v == unseenAck {
			c.decideHeld(snd, seg)
		}
		if v == beyondWindow && seg.Flags.Has(decode.FIN) {
			c.addBlind(snd, rcv, seg)
		}
		c.hold(snd, seg, v)
		c.release()
	case old:
		if c.notes&(NoteKeepAlive|NoteRetransmission) == 0 {
			c.notes |= NoteOld
		}
	case stale:
		c.notes |= NoteStale
		if seg.Flags.Has(decode.FIN) {
			c.addBlind(snd, rcv, seg)
		}
	}
}

// joinHandshake lets a segment prove what of the handshake was not captured. It
// reports false for one that has nothing to do with it and changes nothing.
func (c *Conn) joinHandshake(snd, rcv *End, seg *decode.Segment) bool {
	if !seg.Flags.Has(decode.ACK) {
		return true
	}
	c.chooseAnswer(rcv, snd, seg.Ack)
	c.chooseAnswer(snd, rcv, seg.Seq)
	switch {
	case snd.state == SynSent && snd.cover.on && !snd.cover.icmp && !rcv.is(issKnown):
		c.notes |= NoteOutside // it was refused, and has nothing to acknowledge
		return false
	case snd.state == SynSent && snd.is(sentSYN) && !rcv.is(issKnown):
		// The client's first ACK proves a SYN,ACK that was not captured, unless
		// its SYN was a stray in an older connection.
		if !between(snd.iss+1, seg.Seq, snd.nxt+65535) {
			c.restart(seg)
			return true
		}
		rcv.iss, rcv.issProvisional = seg.Ack-1, true
		rcv.set(issKnown, true)
		rcv.raise(seg.Ack)
		rcv.take(sndSYNACK, received(seg))
	case snd.state == Listen && !snd.is(issKnown) && rcv.state == SynSent && rcv.is(sentSYN):
		// A server's segment proves its SYN,ACK if it acknowledges the SYN; else
		// it is the challenge of an older connection.
		if !between(rcv.iss+1, seg.Ack, later(rcv.iss+1, rcv.nxt)) {
			c.notes |= NoteChallenge
			return false
		}
		snd.iss, snd.issProvisional = seg.Seq-1, true
		snd.set(issKnown, true)
		snd.take(sndSYNACK, sent(seg))
	}
	return true
}

// apply lets a segment count that is neither SYN nor RST.
func (c *Conn) apply(snd, rcv *End, seg *decode.Segment) {
	c.contradict(snd, seg)
	c.contradictFIN(snd, rcv, seg)
	f, end := seg.Flags, seg.End()
	if seg.Len == 0 && !f.Has(decode.FIN) && snd.is(nxtKnown) && !snd.is(jumped) && !snd.is(finCounts) && seg.Seq == snd.nxt+1 && snd.established() {
		c.inferFIN(snd, rcv, seg)
	}
	if snd.beyondFIN == 0 && seg.Len > 0 && snd.is(finCounts) && !snd.is(finInferred) && after(end, snd.finSeq+1) && after(end, snd.nxt) {
		snd.beyondFIN, snd.beyondAt = seg.Frame, seg.Time // its FIN is acknowledged, or contradictFIN would have taken it back
	}
	octets := snd.is(nxtKnown) && end == snd.nxt && !snd.is(jumped) // sent already: a FIN has none of their numbers
	c.advance(snd, rcv, seg)
	if seg.Opts.Has(decode.OptTimestamps) && (!snd.is(knownTS) || !before(seg.TSVal, snd.tsRecent) || seg.Time.Sub(snd.Sent()) >= pawsExpiry) && (!snd.is(unaKnown) || atMost(seg.Seq, snd.una)) {
		snd.tsRecent = seg.TSVal
		snd.set(knownTS, true)
	}
	if f.Has(decode.FIN) && !snd.is(finCounts) && (!octets || snd.is(finWaits)) {
		c.beginFIN(snd, rcv, seg, end-1)
	}
	c.fill(snd, seg)
	if f.Has(decode.ACK) {
		c.acknowledge(snd, rcv, seg)
		c.prove(snd, rcv, seg)
	}
	snd.remember(seg)
	c.joinMidstream(snd, rcv, seg)
	c.step(snd, rcv, seg)
	if snd.state == TimeWait && f.Has(decode.ACK) {
		snd.linger(max(snd.timeWait(), seg.Time))
	}
}

// established reports whether the end is in a state in which it may send its FIN.
func (e *End) established() bool {
	return e.state == Established || e.state == CloseWait || e.state == SynReceived
}

// advance raises the end's next number by the octets of seg.
func (c *Conn) advance(e, peer *End, seg *decode.Segment) {
	end := seg.End()
	switch {
	case !e.is(nxtKnown):
		e.nxt = end
		e.set(nxtKnown, true)
		e.set(jumped, seg.Len == 0)
	case after(end, e.nxt):
		if after(seg.Seq, e.nxt) && seg.Len+uint32(seg.Flags&decode.FIN) > 0 {
			c.skip(e, seg.Seq)
		}
		e.set(jumped, end == seg.Seq)
		e.nxt = end
		if seg.Len > 0 {
			e.behindGap, peer.beforeGap = false, false
		}
	case seg.Len > 0 && end == e.nxt:
		e.set(jumped, false)
	}
}

// raise lifts the end's next number to what was never captured.
func (e *End) raise(to uint32) {
	if !e.is(nxtKnown) || after(to, e.nxt) {
		e.nxt = to
		e.set(nxtKnown|jumped, true)
	}
}

// acknowledge takes what seg, sent by snd, says about rcv's octets and window.
func (c *Conn) acknowledge(snd, rcv *End, seg *decode.Segment) {
	if !seg.Flags.Has(decode.ACK) {
		return
	}
	ack := seg.Ack
	rcv.raise(ack)
	if !rcv.is(unaKnown) || after(ack, rcv.una) {
		if rcv.packets == 0 {
			snd.rise = rise{}
			if rcv.is(unaKnown) && ack == rcv.una+1 {
				snd.rise = rise{true, received(seg)}
			}
		}
		if snd.is(finCounts) && !snd.is(finInferred) && after(seg.Seq, snd.finSeq) && rcv.is(unaKnown) {
			// Its FIN acknowledged all that had come until then. One octet more may be a FIN.
			late := ack - rcv.una
			if rcv.finAckedBy(ack) {
				late--
			}
			snd.lateAcked = snd.lateAcked || late > 1 || late == 1 && rcv.is(finCounts)
		}
		rcv.una = ack
		rcv.set(unaKnown, true)
		rcv.streak = streak{}
		if rcv.is(finCounts) && after(ack, rcv.finSeq) {
			snd.rise = rise{}
		}
	}
	if p := &snd.probe; p.on && !before(ack, p.end) {
		if d := seg.Time.Sub(p.at); d > 0 && (p.least == 0 || d < p.least) {
			p.least = d
		}
		p.on = false
	}
	snd.set(acks, true)
	c.passHoles(rcv)
	switch {
	case !rcv.is(finWaits) || !after(rcv.una, rcv.finSeq):
	case rcv.una == rcv.finSeq+1:
		c.countFIN(rcv)
	default:
		rcv.forgetFIN() // its number is an octet's
	}
	if seg.Opts.Has(decode.OptSACK) {
		if !rcv.sacked || after(seg.SACKEdge, rcv.sackEdge) {
			rcv.sackEdge, rcv.sacked = seg.SACKEdge, true
		}
	}
	if rcv.sacked && !after(rcv.sackEdge, rcv.una) {
		rcv.sacked, rcv.sackEdge = false, 0
	}
	shift := uint(0)
	if !seg.Flags.Has(decode.SYN) {
		shift = snd.shift(rcv)
	}
	wnd := uint32(seg.Wnd)
	if seg.NoWnd {
		wnd = 65535
	}
	if edge := ack + wnd<<shift; !rcv.is(edgeKnown) || after(edge, rcv.edge) {
		rcv.edge = edge
		rcv.set(edgeKnown, true)
	}
	if seg.Flags.Has(decode.SYN) && snd.is(issKnown) && rcv.is(sentSYN) && !snd.is(edgeKnown) && rcv.synWnd > 0 {
		snd.edge = snd.iss + 1 + uint32(rcv.synWnd)
		snd.set(edgeKnown, true)
		rcv.synWnd = 0
	}
}

// least returns the shortest round trip from the capture point to the end and
// back that was measured, 0 if none was.
func (e *End) least() time.Duration {
	if e.rtt > 0 {
		return e.measured()
	}
	return e.probe.least
}

// prove notes what the end's own segment proves about the handshake: a client's
// acknowledgment completes it; a server's data, FIN or acknowledgment shows that
// its SYN was acknowledged, the first two even where that was not captured.
func (c *Conn) prove(snd, rcv *End, seg *decode.Segment) {
	if snd == c.Client() && !c.acked() && rcv.is(issKnown) && after(seg.Ack, rcv.iss) {
		c.ackedAt = c.moment(seg.Time, seg.Frame)
		snd.measure(rcv, seg)
	}
	if snd.state == SynReceived && !c.ends[0].is(fastOpen) &&
		(seg.Len > 0 || seg.Flags.Has(decode.FIN) || rcv.is(issKnown) && after(seg.Ack, rcv.iss+1)) {
		snd.take(rcvAckOfSYN, sent(seg))
		if rcv.state == SynSent {
			rcv.take(sndAckOfSYN, received(seg))
		}
	}
	if snd.state != SynSent && snd.state != SynReceived {
		snd.keepSYNCopy(copyID{})
		snd.set(acted, true)
	}
	if rcv.is(issKnown) && !c.ends[0].is(fastOpen) && after(seg.Ack, rcv.iss+1) {
		rcv.keepSYNCopy(copyID{})
		rcv.set(acted, true) // its octets are acknowledged, seen or not
	}
}
