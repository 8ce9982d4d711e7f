package track

import "tcplife/decode"

// A cover is a RST, or an ICMP error, that closed an end. It hides the end's
// state, which goes on moving below with the numbers: should the end show that
// it lives, the cover is taken away and nothing is lost.
type cover struct {
	on    bool
	own   bool // the end sent the RST itself
	abort bool // it was RST,ACK: an application's abort, not a host's reply
	icmp  bool // an ICMP error did it; any later segment of the end takes it away
	order uint32
	by    Transition
}

// put covers the end, if it is not covered yet.
func (c *Conn) put(e *End, v cover, by cause) {
	if e.cover.on {
		return
	}
	v.on, v.order = true, c.order
	v.by = Transition{From: e.state, To: Closed, Basis: by.basis, Time: by.time, Frame: by.frame}
	e.cover = v
}

// contradict takes the cover away if seg, sent by the end, shows that it was not
// closed: at once if the end is the RST's supposed sender, or an ICMP error closed
// it; after a round trip if it is the RST's target, since until then its segments
// were under way already.
func (c *Conn) contradict(snd *End, seg *decode.Segment) {
	v := &snd.cover
	if peer := c.Peer(snd); seg.Flags.Has(decode.ACK) && peer.is(unaKnown) && before(seg.Ack, peer.una) {
		return // no living end acknowledges less than before
	}
	switch {
	case !v.on, c.order < v.order,
		snd.is(unaKnown) && before(seg.End(), snd.una),
		!snd.isNew(seg):
		return
	case !v.own && !v.icmp && snd.underWay(seg, v.by.Time):
		return
	}
	if v.own && c.rst != nil && c.rst.Frame == v.by.Frame && len(c.refuted) < maxRefutedRSTs {
		c.rst.Marks |= MarkWentOn
		c.refuted = append(c.refuted, Refuted{*c.rst, seg.Frame})
	}
	v.by.From = snd.state
	c.noteWithdrawn(v.by, seg)
	*v = cover{}
}
