package track

import "tcplife/decode"

// joinMidstream makes the ends of a connection that is older than the capture
// ESTABLISHED: both with the first segment that agrees with one of the peer; in
// a one-sided capture the visible end with its second.
func (c *Conn) joinMidstream(snd, rcv *End, seg *decode.Segment) {
	if snd.state != Unknown && rcv.state != Unknown {
		return
	}
	if rcv.packets > 0 && rcv.is(joined) && seg.Flags.Has(decode.ACK) {
		snd.join(sent(seg))
		rcv.join(received(seg))
	} else if snd.is(joined) {
		snd.join(sent(seg))
	}
	snd.set(joined, true)
}

// join makes an end ESTABLISHED that nothing was proved about, and lets its FIN
// move it if that was captured before.
func (e *End) join(by cause) {
	if e.state != Unknown {
		return
	}
	at := e.finSent()
	if !e.is(finCounts) || at.frame == by.frame {
		e.take(join, by)
		return
	}
	e.take(join, at)
	e.take(sndFIN, at)
}

// restart makes c a connection older than the capture: its first SYN was a
// stray, which seg does not fit.
func (c *Conn) restart(seg *decode.Segment) {
	for i := range c.ends {
		e := &c.ends[i]
		for j := range int(e.n) {
			c.noteWithdrawn(e.move(j), seg)
		}
		first, last := e.SYNs()
		e.rareEnd = rareEnd{times: synTimes{e.SYN() > 0, first, last}, carry: e.carry}
		*e.endRecord = endRecord{
			packets: e.packets, bytes: e.bytes, payload: e.payload,
			syns: e.syns, fins: e.fins, rsts: e.rsts, retransmits: e.retransmits,
			flags: e.flags & (sentAny | sentData),
		}
	}
	c.holes = c.holes[:0]
	c.client, c.RoleBasis = likelyClient(c.ends[0].Port(), c.ends[1].Port())
	c.Midstream, c.crossed, c.ackedAt = true, false, 0
}
