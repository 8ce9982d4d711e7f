package track

import (
	"tcplife/decode"
	"tcplife/decode/capture"
)

// reset takes a RST. One that counts closes both ends: its sender, which holds no
// such connection, and its target, which takes it (RFC 9293 §3.10.7). Any other
// changes neither (RFC 5961 §3.2).
func (c *Conn) reset(snd, rcv *End, seg *decode.Segment) {
	if snd.state != SynSent && snd.state != SynReceived {
		c.confirmByRST(rcv, seg)
	} else {
		c.answerBadAck(snd, rcv, seg)
	}
	if snd.state == Unknown && !snd.is(unaKnown) && !snd.is(nxtKnown) {
		// The first segment of a connection older than the capture: it proves
		// its sender closed, and no number.
		c.noteReset(snd, rcv, seg)
		c.put(snd, cover{own: true, abort: c.rst.aborts()}, sent(seg))
		return
	}
	if !c.exactRST(snd, rcv, seg) {
		c.notes |= NoteResetIgnored
		if snd.cover.own && c.rst != nil && c.rst.By == c.Role(snd) && snd.is(nxtKnown) && after(seg.Seq, snd.nxt) && seg.Time.Sub(c.rst.Time) <= answerMax {
			c.rst.Marks |= MarkAhead
		}
		c.addBlind(snd, rcv, seg)
		rcv.shaken = rcv.shaken || rcv.state == FinWait2 && snd.inWindow(seg.Seq)
		return
	}
	if i := snd.last(rcvAckOfFIN); snd.state == FinWait2 && i >= 0 && seg.Seq == snd.finSeq &&
		snd.underWay(seg, snd.when(i)) {
		// Numbered with its own FIN, it was sent before the FIN's ACK arrived.
		c.withdraw(snd, i, seg)
	}
	if !seg.Flags.Has(decode.ACK) && snd.is(finCounts) && rcv.Unacked() > 0 && !c.marks(snd, rcv, seg).Has(MarkOtherTTL) {
		snd.lateReset = true
	}
	if seg.Flags.Has(decode.ACK) && !snd.cover.on && snd.is(nxtKnown) && seg.Seq == snd.nxt && !after(seg.Ack, rcv.highest()) {
		// An abort, which has its end's next number, acknowledges like any segment; an ACK may have been delayed until
		// there was none to send.
		switch {
		case snd.state == SynSent && rcv.is(issKnown) && after(seg.Ack, rcv.iss):
			snd.take(sndAckOfSYN, sent(seg))
		case snd.state == Established && rcv.finAckedBy(seg.Ack):
			snd.takeAckOfFIN(rcv, sent(seg))
		}
	}
	c.noteReset(snd, rcv, seg)
	c.put(snd, cover{own: true, abort: c.rst.aborts()}, sent(seg))
	c.put(rcv, cover{}, received(seg))
}

// exactRST reports whether a RST has a number that closes: the one its target
// waits for, as far as the capture tells.
func (c *Conn) exactRST(snd, rcv *End, seg *decode.Segment) bool {
	if rcv.state == SynSent && !(snd.is(sentSYN) && snd.is(nxtKnown) && seg.Seq == snd.nxt) {
		return seg.Flags.Has(decode.ACK) && between(rcv.iss+1, seg.Ack, later(rcv.iss+1, rcv.nxt))
	}
	switch {
	case snd.is(unaKnown) && seg.Seq == snd.una:
		return true
	case snd.is(finCounts) && seg.Seq == snd.finSeq:
		// Stacks take the number of the FIN too, unless they are in TIME_WAIT.
		return rcv.state != TimeWait
	case snd.sacked:
		// Behind a hole stacks also take the right edge of what they hold.
		return seg.Seq == snd.sackEdge
	}
	return snd.is(nxtKnown) && seg.Seq == snd.nxt
}

// inWindow reports whether seq lies in the window that the end may send into.
func (e *End) inWindow(seq uint32) bool {
	return e.is(unaKnown) && e.is(edgeKnown) && between(e.una, seq, e.edge-1)
}

// confirmByRST lets a waiting acknowledgment count that the peer's RST repeats.
func (c *Conn) confirmByRST(rcv *End, seg *decode.Segment) {
	for i := range c.held {
		h := &c.held[i]
		if from, _ := c.direction(&h.seg); h.why == unseenAck && from == rcv && h.seg.Ack == seg.Seq {
			h.confirmed = true
		}
	}
	c.release()
}

// noteReset keeps what reports tell about a RST that counts.
func (c *Conn) noteReset(snd, rcv *End, seg *decode.Segment) {
	f := seg.Flags
	if f.Has(decode.ACK) {
		c.rstACK = 1
		if snd == &c.ends[1] {
			c.rstACK = 2
		}
	}
	switch {
	case c.rst == nil:
	case snd.cover.on && rcv.cover.on:
		return
	case snd.cover.own && c.rst.By == c.Role(snd) && c.rst.State[1-c.rst.By] >= Established:
		// Its target went on, as if the first had been lost on its way.
		c.rst.Again, c.rst.AgainUnacked, c.rst.AgainData = seg.Frame, rcv.unackedPayload(), rcv.DataFrame()
		return
	}
	cl, sv := c.Client(), c.Server()
	c.rst = &Reset{
		Time: seg.Time, Frame: seg.Frame, By: c.Role(snd), ACK: f.Has(decode.ACK),
		Idle:  seg.Time.Sub(max(snd.Sent(), rcv.Sent())),
		State: [2]State{cl.State(), sv.State()},

		Marks:     c.marks(snd, rcv, seg),
		Stateless: snd.state == Listen || snd.state == Closed && !snd.is(sentSYN),
		Anew:      c.anew,
		Unacked:   [2]uint32{cl.unackedPayload(), sv.unackedPayload()},
		Data:      [2]capture.Time{cl.Data(), sv.Data()},
		DataFrame: [2]uint64{cl.DataFrame(), sv.DataFrame()},
	}
	r := c.rst
	if !snd.is(sentAny) && rcv.is(sentAny) && r.ACK && !r.Marks.Has(MarkAnswers) {
		r.Stateless = true // to a probe without ACK
	}
	if !snd.is(sentAny) && !rcv.is(sentAny) {
		r.Idle = 0 // it is the first segment
	}
	if mine := c.Role(snd); f.Has(decode.ACK) && rcv.is(unaKnown) && between(rcv.una+1, seg.Ack, rcv.highest()) {
		r.Took = min(seg.Ack-rcv.una, r.Unacked[1-mine])
		r.Unacked[1-mine] -= r.Took
	}
	if r.Unacked[1-r.By]+r.Took > 0 {
		r.Waiting = rcv.Data()
		if s := &rcv.streak; s.n > 0 && !rcv.is(keptAlive) {
			r.Waiting = s.from
		}
	}
	until := seg.Time
	// Frames of several files are not in order.
	if at, last := rcv.Sent(), snd.Sent(); at > last || at == last && rcv.SentFrame() > snd.SentFrame() {
		r.Asked, r.Probe, until = rcv.SentFrame(), rcv.is(keptAlive), at
		if s := &rcv.streak; s.n > 0 && !rcv.is(keptAlive) && last <= s.from && s.from < until {
			until = s.from // the first of several
		}
	}
	r.Probing = snd.is(keptAlive) && r.Asked == 0
	if snd.is(sentAny) {
		r.Quiet = max(until.Sub(snd.Sent()), 0)
	}
}
