package track

import (
	"slices"
	"time"

	"tcplife/decode"
)

// beginFIN takes the FIN with number seq that an end sent for the first time.
func (c *Conn) beginFIN(snd, rcv *End, seg *decode.Segment, seq uint32) {
	if snd.is(finWaits) && snd.finSeq == seq {
		snd.keepFINCopy(identify(seg))
		return
	}
	beyond := after(snd.nxt, seq+1)
	if beyond && !c.skipped(snd, seq) {
		return // below octets that the end has already sent
	}
	waits := snd.holed() || beyond
	snd.setFIN(seq, c.moment(seg.Time, seg.Frame), identify(seg), cond(waits, finWaits, finCounts))
	snd.set(finAcksPeer, seg.Flags.Has(decode.ACK) && (rcv.finAckedBy(seg.Ack) || rcv.is(finWaits) && seg.Ack == rcv.finSeq+1))
	if waits {
		return
	}
	snd.blind = rcv.packets == 0 && rcv.is(unaKnown) && after(seg.Ack, rcv.una)
	if rcv.packets == 0 && snd.rise.one && seg.Ack == rcv.una && !rcv.is(finCounts) && rcv.established() && snd.state == Established {
		// The peer is never seen. The octet by which this end's acknowledgments
		// last rose, now that it closes, was the peer's FIN.
		rcv.setFIN(rcv.una-1, c.moment(snd.rise.by.time, snd.rise.by.frame), copyID{}, finCounts|finInferred)
		rcv.take(sndFIN, snd.rise.by)
		snd.set(ackedFIN, true)
		by := snd.rise.by
		by.basis = Sent
		snd.take(sndAckOfFIN, by)
		rcv.take(rcvAckOfFIN, snd.rise.by)
	}
}

// contradictFIN takes back what seg, sent by snd, shows to be wrong about snd's
// FIN: that it was acknowledged, if it is sent again; that it was sent, if
// octets beyond it are.
func (c *Conn) contradictFIN(snd, rcv *End, seg *decode.Segment) {
	switch {
	case !snd.is(finCounts):
	case snd.is(finInferred) && seg.Len > 0 && between(seg.Seq, snd.finSeq, seg.Seq+seg.Len-1):
		c.withdrawFIN(snd, rcv, seg) // the octet was data
	case (seg.Len > 0 || seg.Flags.Has(decode.FIN)) && after(seg.End(), snd.finSeq+1):
		if snd.is(finInferred) || !snd.is(unaKnown) || !after(snd.una, snd.finSeq) {
			c.withdrawFIN(snd, rcv, seg)
		}
	case seg.Flags.Has(decode.FIN) && seg.End() == snd.finSeq+1:
		if snd.is(finInferred) {
			snd.keepFINCopy(identify(seg))
			snd.set(finInferred, false)
			if rcv.is(finCounts) && rcv.is(unaKnown) && rcv.finAckedBy(rcv.una) && !rcv.is(ackedFIN) {
				// Lost at first, it had not arrived yet when what lay behind it
				// acknowledged the peer's FIN.
				at := c.at(snd.finAt)
				rcv.take(rcvAckOfFIN, cause{at.time, at.frame, Received})
			}
			return
		}
		if !identify(seg).newerThan(snd.finCopy()) {
			return
		}
		snd.keepFINCopy(identify(seg))
		i := snd.last(rcvAckOfFIN)
		if i < 0 || snd.underWay(seg, snd.when(i)) {
			return
		}
		c.withdraw(snd, i, seg)
	}
}

// withdrawFIN takes back snd's FIN, and that its peer acknowledged it.
func (c *Conn) withdrawFIN(snd, rcv *End, seg *decode.Segment) {
	if i := snd.last(sndFIN); i >= 0 {
		c.withdraw(snd, i, seg)
	}
	for _, m := range []move{sndAckOfFIN, sndAckOfFINACK} {
		if i := rcv.last(m); i >= 0 {
			c.withdraw(rcv, i, seg)
		}
	}
	rcv.set(ackedFIN, false)
	if snd.is(finInferred) {
		snd.forgetFIN()
		return
	}
	// Unless what contradicts it is a forger's: then the peer acknowledges it.
	snd.set(finCounts, false)
	snd.set(finWaits, true)
}

// countFIN lets e's FIN count that waited. What seemed to lie beyond it was a
// forger's.
func (c *Conn) countFIN(e *End) {
	e.set(finWaits, false)
	e.set(finCounts, true)
	e.take(sndFIN, e.finSent())
	if after(e.nxt, e.finSeq+1) {
		e.nxt = e.finSeq + 1
		e.set(jumped, false)
		c.holes = slices.DeleteFunc(c.holes, func(h hole) bool { return h.of == c.index(e) })
		e.holes = 0
	}
}

// inferFIN takes the one octet after the end's last captured one for a FIN that
// was not captured. It acknowledges a FIN of the peer captured before, unless
// less than the connection's shortest round trip lies between: then they
// crossed.
func (c *Conn) inferFIN(e, peer *End, seg *decode.Segment) {
	e.setFIN(e.nxt, c.moment(seg.Time, seg.Frame), copyID{}, finCounts|finInferred)
	if peer.is(finCounts) && seg.Time.Sub(c.at(peer.finAt).time) >= c.shortest() {
		e.set(finAcksPeer, true)
		if !e.is(ackedFIN) {
			e.takeAckOfFIN(peer, received(seg))
			peer.una = later(peer.una, peer.finSeq+1)
			peer.set(unaKnown, true)
		}
	}
	if e.state == SynReceived {
		e.take(rcvAckOfSYN, received(seg))
		if peer.state == SynSent {
			peer.take(sndAckOfSYN, received(seg))
		}
	}
	e.take(sndFIN, received(seg))
	e.raise(e.finSeq + 1)
}

// shortest returns the connection's shortest measured round trip.
func (c *Conn) shortest() time.Duration {
	a, b := c.ends[0].least(), c.ends[1].least()
	switch {
	case a == 0 && b == 0:
		return roundTripUnmeasured
	case a == 0 || b != 0 && b < a:
		return b
	}
	return a
}

// finSent returns what made the end send its FIN.
func (e *End) finSent() cause {
	at := e.c.at(e.finAt)
	return cause{at.time, at.frame, Sent}
}
