package track

import (
	"slices"
	"time"

	"tcplife/decode"
)

// A verdict says whether a segment counts, and if not, why.
type verdict uint8

const (
	counts       verdict = iota
	unseenAck            // acknowledges more than was captured: waits
	beyondWindow         // lies above the window: waits
	old                  // ends below what the peer has acknowledged
	stale                // its timestamp is older than TS.Recent
)

// pawsExpiry is how long TS.Recent stays valid (RFC 7323 §5.5).
const pawsExpiry = 24 * 24 * time.Hour

// judge decides whether a segment, neither SYN nor RST, counts: RFC 9293 §3.4 as
// a middlebox can apply it, RFC 7323 §5, and that it acknowledges nothing unseen.
func (c *Conn) judge(snd, rcv *End, seg *decode.Segment) verdict {
	end := seg.End()
	switch {
	case snd.is(unaKnown) && before(end, snd.una):
		return old
	case snd.is(knownTS) && seg.Opts.Has(decode.OptTimestamps) && snd.usesTS() &&
		before(seg.TSVal, snd.tsRecent) && seg.Time.Sub(snd.Sent()) < pawsExpiry:
		return stale
	case snd.is(edgeKnown) && after(end, snd.edge):
		return beyondWindow
	case seg.Flags.Has(decode.ACK) && rcv.packets > 0 && rcv.is(nxtKnown) && after(seg.Ack, rcv.highest()):
		if rcv.state == Unknown && rcv.is(jumped) && seg.Ack == rcv.nxt+1 {
			break // all that its peer showed was a keep-alive probe, one octet below its next
		}
		return unseenAck
	}
	return counts
}

// usesTS reports whether timestamps may be in use: a SYN without them rules it
// out (RFC 7323 §3.2).
func (e *End) usesTS() bool {
	return !e.is(sentSYN) || e.issProvisional || e.is(offeredTS)
}

// A heldSegment waits until it is known whether it counts.
type heldSegment struct {
	seg       decode.Segment
	why       verdict // unseenAck or beyondWindow
	confirmed bool
	order     uint32 // Conn.order when it was captured
}

// hold makes seg wait. A connection holds few segments; the oldest gives way.
func (c *Conn) hold(snd *End, seg *decode.Segment, why verdict) {
	c.notes |= NoteWaits
	if len(c.held) == maxHeld {
		c.held = append(c.held[:0], c.held[1:]...)
	}
	c.held = append(c.held, heldSegment{seg: *seg, why: why, order: c.order})
	c.reckonUnseen()
}

// reckonUnseen finds how far each end's segments go that wait. One far beyond the
// window says nothing: a forger's guess would.
func (c *Conn) reckonUnseen() {
	for i := range c.ends {
		c.ends[i].unseen, c.ends[i].maxUnseen = false, 0
	}
	for i := range c.held {
		seg := &c.held[i].seg
		e, peer := c.direction(seg)
		end := seg.End()
		if reach := uint32(65535) << peer.shift(e); e.is(nxtKnown) && after(end, e.nxt+reach) {
			continue
		}
		if !e.unseen || after(end, e.maxUnseen) {
			e.maxUnseen, e.unseen = end, true
		}
	}
}

// decideHeld lets seg, a new segment, confirm or refute acknowledgments that
// wait. Its sender confirms its own by acknowledging at least as much, and
// refutes them by less; it refutes its peer's by going on below them from where
// it was.
func (c *Conn) decideHeld(snd *End, seg *decode.Segment) {
	if len(c.held) == 0 || !seg.Flags.Has(decode.ACK) || !snd.isNew(seg) {
		return
	}
	kept := c.held[:0]
	for _, h := range c.held {
		if h.why == unseenAck {
			if from, _ := c.direction(&h.seg); from == snd {
				if before(seg.Ack, h.seg.Ack) {
					continue
				}
				h.confirmed = true
			} else if seg.Seq == snd.nxt && before(seg.End(), h.seg.Ack) {
				continue
			}
		}
		kept = append(kept, h)
	}
	c.held = kept
	c.reckonUnseen()
}

// refuseHeld lets seg, the SYN,ACK of snd again, refute what waits of its peer: snd
// took none of it.
func (c *Conn) refuseHeld(snd *End, seg *decode.Segment) {
	if len(c.held) == 0 || snd.state != SynReceived {
		return
	}
	c.held = slices.DeleteFunc(c.held, func(h heldSegment) bool {
		from, _ := c.direction(&h.seg)
		return h.why == unseenAck && from != snd && !snd.underWay(seg, h.seg.Time)
	})
	c.reckonUnseen()
}

// release lets the segments count that no longer need to wait. It reports whether
// there were any.
func (c *Conn) release() (any bool) {
	for i := 0; i < len(c.held); {
		h := c.held[i]
		snd, rcv := c.direction(&h.seg)
		switch {
		case h.why == beyondWindow && snd.is(unaKnown) && atMost(h.seg.End(), snd.una):
		case h.why == unseenAck && (h.confirmed || atMost(h.seg.Ack, rcv.highest())):
		default:
			i++
			continue
		}
		c.held = append(c.held[:i], c.held[i+1:]...)
		c.late(snd, rcv, &h)
		c.reckonUnseen()
		i, any = 0, true
	}
	return any
}

// releaseAll lets every segment count that waits for an acknowledgment to be
// confirmed.
func (c *Conn) releaseAll() {
	for i := range c.held {
		c.held[i].confirmed = true
	}
	c.release()
}

// late lets a segment count that waited. What it acknowledged without its being
// captured is made up for: one octet after captured ones is a FIN.
func (c *Conn) late(snd, rcv *End, h *heldSegment) {
	if h.why == unseenAck && after(h.seg.Ack, rcv.highest()) {
		add8(&c.gaps, &c.moreGaps, 1)
		if h.seg.Ack == rcv.nxt+1 && !rcv.is(jumped) && !rcv.is(finCounts) && rcv.established() {
			c.inferFIN(rcv, snd, &h.seg)
		} else {
			rcv.raise(h.seg.Ack)
			c.gap(rcv, snd)
		}
	} else if h.why == unseenAck && rcv.is(jumped) && !rcv.is(finInferred) && (!rcv.is(unaKnown) || after(h.seg.Ack, rcv.una)) {
		add8(&c.gaps, &c.moreGaps, 1) // the peer went on from there, but not with the octets
		c.gap(rcv, snd)
	}
	if snd.is(unaKnown) && before(h.seg.End(), snd.una) {
		return // overtaken
	}
	now := c.order
	c.order = h.order
	c.apply(snd, rcv, &h.seg)
	c.order = now
}

// gap notes that peer acknowledged octets of e that were not captured. They may
// end in a FIN, sent before or after the peer's.
func (c *Conn) gap(e, peer *End) {
	e.behindGap, peer.beforeGap = true, true
	e.gapLate, peer.gapLate = peer.is(finCounts), peer.is(finCounts)
}
