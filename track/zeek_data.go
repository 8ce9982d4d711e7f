package track

import "slices"

// A zeekBlock is data from one relative number up to another.
type zeekBlock struct{ from, to uint64 }

// acked lets go of what the receiver of the segment has sent up to a relative number.
func (p *zeekPass) acked(to uint64) {
	e := p.rcv
	if e.hasFIN && to >= e.finEnd {
		to = e.finEnd - 1
	}
	if to <= e.trimmed {
		return
	}
	p.trim(1-p.from, to)
	p.checkEOF(1 - p.from)
}

// trim lets go of an end's data up to a relative number. What of it was never
// captured is a gap.
func (p *zeekPass) trim(i uint8, to uint64) {
	e := &p.ends[i]
	if to > e.delivered {
		p.miss(i, to)
	}
	if p.rare != 0 {
		r := p.store.rareOf(p.zeekConn)
		b := r.blocks[i]
		for len(b) > 0 && b[0].to <= to {
			b = b[1:]
		}
		r.blocks[i] = b
		if len(b) > 0 && b[0].from == e.delivered {
			p.deliver(i)
		}
	}
	e.trimmed = max(e.trimmed, to)
}

// miss gives up the holes in an end's data up to a relative number.
func (p *zeekPass) miss(i uint8, to uint64) {
	e := &p.ends[i]
	if to <= 2 && p.partial {
		return
	}
	if !e.givenUp {
		if p.rare != 0 {
			r := p.store.rareOf(p.zeekConn)
			for len(r.blocks[i]) > 0 && r.blocks[i][0].from < to {
				p.gap(i, r.blocks[i][0].from-e.delivered)
				e.delivered = r.blocks[i][0].from
				p.deliver(i)
			}
		}
		if to > e.delivered {
			p.gap(i, to-e.delivered)
		}
	}
	e.delivered = max(e.delivered, to)
}

// gap tells of n octets of an end that were acknowledged and not captured, if both
// ends are in states in which that can be believed.
func (p *zeekPass) gap(i uint8, n uint64) {
	for j := range p.ends {
		if e := &p.ends[j]; e.state != zeekEstablished && (e.state != zeekClosed || e.before != zeekEstablished) {
			return
		}
	}
	p.missed += n
	p.counted(&p.ends[i].gaps, 'G', p.isOriginator(i))
}

// deliver takes an end's blocks that no hole lies before any more.
func (p *zeekPass) deliver(i uint8) {
	e := &p.ends[i]
	if p.rare != 0 {
		r := p.store.rareOf(p.zeekConn)
		b := r.blocks[i]
		for len(b) > 0 && b[0].from <= e.delivered {
			e.delivered = max(e.delivered, b[0].to)
			b = b[1:]
		}
		r.blocks[i] = b
	}
	if e.noneAcked() && p.size(i) > zeekInitialWindow {
		p.trim(i, e.delivered)
	}
}

// noneAcked reports whether none of the end's data was acknowledged.
func (e *zeekEnd) noneAcked() bool {
	una := zeekFull(e.una, e.unaWraps)
	return una == uint64(e.iss) || una == uint64(e.iss)+1
}

// data takes what the sender's segment holds.
func (p *zeekPass) data(from, to uint64) {
	e := p.snd
	if e.givenUp {
		return
	}
	una := zeekFull(e.una, e.unaWraps) - uint64(e.iss)
	if to <= una && from < una || to <= e.trimmed {
		return
	}
	from = max(from, e.trimmed)
	if una < to {
		from = max(from, una)
	}
	switch {
	case from <= e.delivered:
		if to > e.delivered {
			e.delivered = to
			p.deliver(p.from)
		}
	default:
		r := p.store.rareOf(p.zeekConn)
		r.blocks[p.from] = insertBlock(r.blocks[p.from], zeekBlock{from, to})
	}
	held := e.delivered - min(e.delivered, e.trimmed)
	above, blocks := uint64(0), 0
	if p.rare != 0 {
		b := p.store.rareOf(p.zeekConn).blocks[p.from]
		if blocks = len(b); blocks > 0 {
			above = b[blocks-1].to - e.delivered
		}
		for _, b := range b {
			held += b.to - b.from
		}
	}
	if e.noneAcked() && above > zeekAboveHole || held > zeekUnacked || blocks > zeekBlocks {
		e.givenUp = true
		if p.rare != 0 {
			p.store.rareOf(p.zeekConn).blocks[p.from] = nil
		}
	}
}

// insertBlock adds n to blocks that are in order and don't touch.
func insertBlock(b []zeekBlock, n zeekBlock) []zeekBlock {
	i, _ := slices.BinarySearchFunc(b, n.from, func(x zeekBlock, from uint64) int {
		if x.to < from {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(b) && b[j].from <= n.to; j++ {
		n.from, n.to = min(n.from, b[j].from), max(n.to, b[j].to)
	}
	return slices.Replace(b, i, j, n)
}

// waits reports whether an end that closes still has something to do: data of it is
// to come, or it has to acknowledge its peer's.
func (p *zeekPass) waits(i uint8) bool {
	e := &p.ends[i]
	if e.givenUp {
		return false
	}
	delivered, nxt := uint64(e.iss)+e.delivered, zeekFull(e.nxt, e.nxtWraps)
	switch {
	case nxt < delivered:
		return false
	case delivered != nxt-1 && delivered != nxt:
		return true
	}
	return e.state != zeekReset && p.holds(1-i)
}

// holds reports whether there is data of an end that was not acknowledged yet.
func (p *zeekPass) holds(i uint8) bool {
	e := &p.ends[i]
	return !e.givenUp && (e.delivered > e.trimmed || p.rare != 0 && len(p.store.rareOf(p.zeekConn).blocks[i]) > 0)
}
