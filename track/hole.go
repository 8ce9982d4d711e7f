package track

import "tcplife/decode"

// A hole is a run of octets [from, to) that its end skipped: they were lost
// before the capture point, captured out of order, or missed by the capture.
type hole struct {
	of       uint8 // index of the end
	from, to uint32
}

// maxHoles bounds the holes of one end; beyond, the last one grows.
const maxHoles = 16

func (e *End) holed() bool { return e.holes > 0 }

// skip notes that e went on at to without [e.nxt, to).
func (c *Conn) skip(e *End, to uint32) {
	if e.holes == maxHoles {
		for i := len(c.holes) - 1; ; i-- {
			if h := &c.holes[i]; h.of == c.index(e) {
				h.to = to
				return
			}
		}
	}
	c.holes = append(c.holes, hole{c.index(e), e.nxt, to})
	e.holes++
}

// skipped reports whether e may not have sent the octet with number seq: it lies
// in a hole, or an empty segment went beyond it.
func (c *Conn) skipped(e *End, seq uint32) bool {
	for _, h := range c.holes {
		if h.of == c.index(e) && between(h.from, seq, h.to-1) {
			return true
		}
	}
	return e.is(jumped)
}

// fill takes the octets of seg out of the holes of its sender.
func (c *Conn) fill(snd *End, seg *decode.Segment) {
	if !snd.holed() || seg.Len == 0 {
		return
	}
	for i := 0; i < len(c.holes); i++ {
		h := &c.holes[i]
		if h.of != c.index(snd) {
			continue
		}
		if atMost(seg.Seq, h.from) && after(seg.Seq+seg.Len, h.from) {
			h.from = seg.Seq + seg.Len
		} else if after(seg.Seq, h.from) && before(seg.Seq, h.to) {
			rest := hole{h.of, seg.Seq + seg.Len, h.to}
			h.to = seg.Seq
			if before(rest.from, rest.to) && snd.holes < maxHoles {
				c.holes = append(c.holes, rest)
				snd.holes++
			}
		}
	}
	c.closeHoles(snd)
}

// passHoles lets acknowledgments close the holes of rcv below rcv.una: those
// octets arrived, and were not captured.
func (c *Conn) passHoles(rcv *End) {
	if !rcv.holed() {
		return
	}
	for i := range c.holes {
		if h := &c.holes[i]; h.of == c.index(rcv) && before(h.from, rcv.una) {
			h.from = rcv.una
			add8(&c.gaps, &c.moreGaps, 1)
		}
	}
	c.closeHoles(rcv)
}

// closeHoles forgets e's holes that are filled. A FIN that waited behind the last
// one counts.
func (c *Conn) closeHoles(e *End) {
	kept := c.holes[:0]
	for _, h := range c.holes {
		if h.of == c.index(e) && !before(h.from, h.to) {
			e.holes--
			continue
		}
		kept = append(kept, h)
	}
	c.holes = kept
	if e.is(finWaits) && !e.holed() && e.nxt == e.finSeq+1 {
		c.countFIN(e)
	}
}
