package track

import (
	"tcplife/decode"
	"tcplife/decode/capture"
)

// A candidate is a SYN, or a SYN,ACK, on addresses and ports in use that may
// have begun a new incarnation. Whether it did, later segments tell.
type candidate struct {
	seg        decode.Segment // its first copy
	id         uint64         // reserved, so that IDs count by first segment
	copies     int
	last       capture.Time // of its last copy
	lastFrame  uint64
	usedISN    bool   // an earlier incarnation had its number
	stale      bool   // its timestamp is older than its sender's last
	challenge  uint32 // acknowledgment of the peer's pure ACK after it, if challenged
	challenged bool
	challenger uint64 // that ACK's frame
}

func (d *candidate) fromSender(seg *decode.Segment) bool {
	return d.seg.Src == seg.Src && d.seg.SrcPort == seg.SrcPort
}

// acknowledgedBy reports whether seg, from the peer, acknowledges the SYN.
func (d *candidate) acknowledgedBy(seg *decode.Segment) bool {
	return !d.fromSender(seg) && seg.Flags.Has(decode.ACK) && between(d.seg.Seq+1, seg.Ack, d.seg.End())
}

// goesOn reports whether seg, from the sender, goes on with the new numbers.
func (d *candidate) goesOn(seg *decode.Segment) bool {
	return d.fromSender(seg) && between(d.seg.Seq+1, seg.Seq, d.seg.End()+65535)
}

// route returns the incarnation that seg belongs to, of those of one pair of
// addresses and ports of which c is the newest. It opens a new one where seg
// begins it, or proves that an earlier SYN did. It returns nil where seg is kept
// as a candidate.
func (s *shard) route(c *Conn, seg *decode.Segment) *Conn {
	f := seg.Flags
	snd, _ := c.direction(seg)
	switch {
	case f.Has(decode.SYN) && f.Any(decode.FIN|decode.RST),
		seg.Checksum == decode.ChecksumBad && snd.is(sumsRight):
		return c // begins nothing
	case f.Has(decode.SYN | decode.ACK):
		return s.routeSYNACK(c, seg)
	case f.Has(decode.SYN):
		return s.routeSYN(c, seg)
	}
	if len(c.candidates) > 0 {
		if n := s.tryCandidates(c, seg); n != nil {
			c = n
		}
	}
	if c.older == nil {
		return c
	}
	for o := c; o != nil; o = o.older {
		if o.fits(seg) {
			return o
		}
	}
	return c
}

// fits reports whether seg, no SYN, has numbers of this incarnation.
func (c *Conn) fits(seg *decode.Segment) bool {
	snd, rcv := c.direction(seg)
	if seg.Flags.Has(decode.RST) {
		return c.exactRST(snd, rcv, seg)
	}
	reach := int32(65535) << rcv.shift(snd)
	if snd.is(sentSYN) && !rcv.is(issKnown) {
		reach = 65535 // nothing but its SYN was answered yet
	}
	near := func(x, y uint32) bool { d := int32(x - y); return -reach <= d && d <= reach }
	if snd.is(nxtKnown) && !near(seg.Seq, snd.nxt) {
		return false
	}
	if seg.Flags.Has(decode.ACK) && rcv.is(nxtKnown) {
		if !near(seg.Ack, rcv.nxt) || rcv.packets > 0 && after(seg.Ack, rcv.highest()) {
			return false
		}
		if rcv.is(issKnown) && atMost(seg.Ack, rcv.iss) {
			return false
		}
	}
	return !snd.is(issKnown) || after(seg.Seq, snd.iss)
}

func (s *shard) routeSYN(c *Conn, seg *decode.Segment) *Conn {
	snd, rcv := c.direction(seg)
	over := snd.isOver() && rcv.isOver()
	switch {
	case snd.is(sentSYN) && snd.iss == seg.Seq && !snd.issProvisional && !snd.onlyAnswered() &&
		(snd.state == SynSent || snd.state == SynReceived || !over):
		return c // repeats the first SYN
	case !snd.is(sentSYN) && snd.state == Listen && rcv.state == SynSent && !rcv.cover.on:
		return c // simultaneous open
	}
	used, stale := false, snd.is(counted) && snd.lastCopy().hasTS && seg.Opts.Has(decode.OptTimestamps) && before(seg.TSVal, snd.lastCopy().tsVal)
	for o := c; o != nil; o = o.older {
		e, _ := o.direction(seg)
		used = used || e.is(sentSYN) && e.iss == seg.Seq
	}
	for i := range c.candidates {
		d := &c.candidates[i]
		if !d.fromSender(seg) || d.seg.Flags.Has(decode.ACK) || d.seg.Seq != seg.Seq {
			continue
		}
		if identify(seg).newerThan(identify(&d.seg)) {
			d.copies++
			d.last, d.lastFrame = seg.Time, seg.Frame
			if over && !d.usedISN && !d.stale {
				n := s.openCandidate(c, i)
				return n
			}
		}
		s.observe(c, seg, NoteRetransmission|NoteCandidate)
		return nil
	}
	if over && !used && !stale {
		return s.succeed(c, seg, 0)
	}
	s.addCandidate(c, candidate{seg: *seg, copies: 1, usedISN: used, stale: stale})
	return nil
}

// onlyAnswered reports whether the end is in SYN_RCVD without having asked: no
// stack repeats its SYN,ACK as a SYN, so one with that number is somebody else's.
func (e *End) onlyAnswered() bool { return e.state == SynReceived && !e.Been().Has(SynSent) }

func (s *shard) routeSYNACK(c *Conn, seg *decode.Segment) *Conn {
	for i := range c.candidates {
		d := &c.candidates[i]
		if d.seg.Flags.Has(decode.ACK) || !d.acknowledgedBy(seg) {
			continue
		}
		if snd, _ := c.direction(seg); d.usedISN && snd.is(issKnown) && snd.iss == seg.Seq {
			continue
		}
		return s.openCandidate(c, i)
	}
	for o := c; o != nil; o = o.older {
		if o.ownSYNACK(seg) {
			return o
		}
	}
	for i := range c.candidates {
		d := &c.candidates[i]
		if d.seg.Flags.Has(decode.ACK) && d.fromSender(seg) && d.seg.Seq == seg.Seq {
			d.copies++
			d.last, d.lastFrame = seg.Time, seg.Frame
			s.observe(c, seg, NoteRetransmission|NoteCandidate)
			return nil
		}
	}
	if snd, rcv := c.direction(seg); rcv.state == SynSent {
		c.refuseAck(snd, rcv, seg)
	}
	s.addCandidate(c, candidate{seg: *seg, copies: 1})
	return nil
}

// ownSYNACK reports whether a SYN,ACK belongs to this incarnation: it repeats
// the one before, or answers its SYN.
func (c *Conn) ownSYNACK(seg *decode.Segment) bool {
	snd, rcv := c.direction(seg)
	answers := rcv.is(sentSYN) && between(rcv.iss+1, seg.Ack, later(rcv.iss+1, rcv.nxt))
	switch {
	case snd.is(sentSYN) && !snd.issProvisional:
		// Another number, while the client has acknowledged none, is a server
		// that forgot its first answer.
		return snd.iss == seg.Seq || answers && rcv.state == SynSent
	case rcv.is(sentSYN):
		return answers
	}
	return false
}

func (s *shard) addCandidate(c *Conn, d candidate) {
	if len(c.candidates) == maxCandidates {
		if s.wouldOpen(c, &c.candidates[0]) {
			c = s.openCandidate(c, 0)
		} else {
			c.candidates = append(c.candidates[:0], c.candidates[1:]...)
		}
	}
	d.id = s.newID()
	c.candidates = append(c.candidates, d)
	s.keeps(d.id, c.ref)
	s.observe(c, &d.seg, NoteCandidate)
}

// tryCandidates returns the incarnation that seg, no SYN, proves a candidate to
// be, or nil. It drops those that seg refutes.
func (s *shard) tryCandidates(c *Conn, seg *decode.Segment) *Conn {
	f := seg.Flags
	for i := range c.candidates {
		d := &c.candidates[i]
		switch isRST := f.Has(decode.RST); {
		case d.seg.Flags.Has(decode.ACK):
			if !isRST && d.goesOn(seg) && !c.fits(seg) {
				return s.openCandidate(c, i)
			}
		case isRST && f.Has(decode.ACK) && d.acknowledgedBy(seg) && !d.usedISN:
			return s.openCandidate(c, i)
		case isRST && !f.Has(decode.ACK) && d.fromSender(seg) && d.challenged && seg.Seq == d.challenge && !d.usedISN:
			// The RST is for the old incarnation.
			c.anew = true
			s.openCandidate(c, i)
			return nil
		case !isRST && !d.usedISN && d.goesOn(seg) && !c.fits(seg):
			return s.openCandidate(c, i)
		case !isRST && !d.fromSender(seg) && f == decode.ACK && seg.Len == 0:
			d.challenged, d.challenge, d.challenger = true, seg.Ack, seg.Frame
		}
	}
	if f.Has(decode.RST) {
		return nil
	}
	snd, _ := c.direction(seg)
	if !c.fits(seg) || !snd.isNew(seg) || snd.is(nxtKnown) && before(seg.End(), snd.una) {
		return nil
	}
	kept := c.candidates[:0]
	for i := range c.candidates {
		d := &c.candidates[i]
		if !d.fromSender(seg) {
			kept = append(kept, *d)
			continue
		}
		c.blindSYN(d, seg)
	}
	c.candidates = kept
	return nil
}

// openCandidate opens the incarnation that c's candidate i began, with its first
// segment counted.
func (s *shard) openCandidate(c *Conn, i int) *Conn {
	d := c.candidates[i]
	c.candidates = append(c.candidates[:i], c.candidates[i+1:]...)
	n := s.succeed(c, &d.seg, d.id)
	s.count(n, &d.seg)
	if d.copies == 1 {
		return n
	}
	e, more := &n.ends[0], uint32(d.copies-1)
	e.noteSent(d.last, d.lastFrame)
	add8(&e.syns, &e.carry.syns, more)
	e.noteSYN(d.last)
	e.packets += more
	add32(&e.bytes, &e.carry.bytes, uint64(more)*uint64(d.seg.Wire))
	add8(&e.retransmits, &e.carry.retransmits, more)
	return n
}

// succeed opens the incarnation after c with its first segment, which is yet to
// be counted.
func (s *shard) succeed(c *Conn, seg *decode.Segment, id uint64) *Conn {
	if id == 0 {
		id = s.newID()
	}
	s.store.keep(c)
	c.reused, c.succeeded = true, true
	s.settle(c)
	n := s.store.newConn(c.key, c.hash)
	n.open(id, seg)
	s.keeps(id, n.ref)
	n.older = c
	s.store.keep(n)
	n.noteReuse(c, seg)
	n.candidates, c.candidates = append(n.candidates, c.candidates...), c.candidates[:0]
	for i := range n.candidates {
		s.keeps(n.candidates[i].id, n.ref)
	}
	s.store.table.Replace(c.hash, uint32(c.ref), uint32(n.ref))
	depth := 0
	for o := n; o.older != nil; o = o.older {
		if depth++; depth > maxOlder {
			s.finish(o.older)
			break
		}
	}
	return n
}

// wouldOpen reports whether a candidate opens where nothing more is heard of it.
func (s *shard) wouldOpen(c *Conn, d *candidate) bool {
	if d.seg.Flags.Has(decode.ACK) || d.usedISN || d.stale {
		return false
	}
	snd, _ := c.direction(&d.seg)
	return d.copies > 1 || snd.state == SynSent
}

// openLeft opens what would open of c's candidates, and drops the others.
func (s *shard) openLeft(c *Conn) {
	for len(c.candidates) > 0 {
		if s.wouldOpen(c, &c.candidates[0]) {
			c = s.openCandidate(c, 0)
		} else {
			c.candidates = append(c.candidates[:0], c.candidates[1:]...)
		}
	}
}
