package decode

import (
	"time"

	"tcplife/decode/capture"
)

const (
	// maxDatagrams bounds how many datagrams wait for fragments, at 300 octets
	// each. Hosts keep about as many (Linux: 4 MiB of them); the oldest go first.
	maxDatagrams = 1024

	// maxPieces bounds into how many pieces, not touching each other, a datagram
	// may have come so far. In order, or from its end, it is always one.
	maxPieces = 16

	// maxHead is how much of a datagram's beginning is kept: the longest TCP
	// header and 68 octets of IPv6 extension headers before it.
	maxHead = 128

	// fragmentTimeout is how long a datagram may take, by the capture's clock:
	// 30 s in Linux, 60 s in RFC 8200 §4.5.
	fragmentTimeout = 30 * time.Second

	// fragmentEcho is how long a complete datagram is remembered, so that a
	// second capture of its fragments, on another interface or by a mirror port,
	// does not begin another one. A host does not come back to an
	// identification as soon as that.
	fragmentEcho = 100 * time.Millisecond
)

// A fragmentKey tells what belongs to one datagram (RFC 791 §3.2, RFC 8200 §4.5).
type fragmentKey struct {
	src, dst Addr
	context  uint32
	id       uint32
	proto    uint8 // IPv4 only
	v6       bool
}

// fragments holds the datagrams that are not complete. A new one takes the place
// of the oldest.
type fragments struct {
	byKey map[fragmentKey]uint16
	slots []reassembly
	hand  int // the next slot to use
}

type reassembly struct {
	key    fragmentKey
	time   capture.Time // of the first fragment captured; of the last, if done
	wire   uint32       // octets of all frames
	total  int          // octets, known when the last fragment came; else 0
	first  int          // octets of the fragment at offset 0
	pieces [maxPieces]piece
	n      int // of pieces
	known  [maxHead / 8]uint8
	head   [maxHead]byte
	ttl    uint8 // of the fragment at offset 0
	proto  uint8 // likewise, what follows the Fragment header
	cut    bool  // the capture holds less of a fragment than was sent
	done   bool
	bad    bool
}

// A piece is a run of octets that has come.
type piece struct{ from, to int32 }

// fragment takes one fragment; offset is of its payload in the datagram. The
// fragment that completes a datagram yields its segment.
func (d *Decoder) fragment(g *datagram, id uint32, offset int, more bool) Result {
	switch g.proto {
	case protoTCP:
	case protoUDP:
		return skip(SkipUDP)
	case protoICMP, protoICMPv6:
		return skip(SkipICMP)
	case protoDestination, protoRouting, protoAH, protoHopByHop, protoMobility, protoHIP, protoShim6:
		if !g.v6 && g.proto != protoAH {
			return skip(SkipProtocol)
		}
	case protoIPv4, protoIPv6:
		return skip(SkipFragment)
	default:
		return skip(SkipProtocol)
	}
	key := fragmentKey{src: g.src, dst: g.dst, context: d.context, id: id, v6: g.v6}
	if !g.v6 {
		key.proto = g.proto
	}
	r := d.frags.find(key, d.pkt.Time)
	if r.bad {
		return skip(SkipMalformed)
	}
	end := offset + g.length
	if r.done && (end > r.total || !more && end != r.total) { // of another with its identification
		*r = reassembly{key: key, time: d.pkt.Time}
	}
	switch {
	case g.length == 0, end > 1<<16-1, more && g.length%8 != 0,
		r.total != 0 && (end > r.total || !more && end != r.total),
		!more && r.n > 0 && int(r.pieces[r.n-1].to) > end:
		r.bad = true
		return skip(SkipMalformed)
	}
	switch r.add(int32(offset), int32(end)) {
	case pieceKnown:
		return skip(SkipFragment)
	case pieceOverlaps:
		// RFC 5722 §3, and Linux for IPv4 as well: what the end makes of it is
		// not known.
		r.bad = true
		return skip(SkipMalformed)
	}
	if !more {
		r.total = end
	}
	if offset == 0 {
		r.first, r.ttl, r.proto = g.length, g.ttl, g.proto
	}
	if offset < maxHead {
		for i := range copy(r.head[offset:], g.payload) {
			r.known[(offset+i)/8] |= 1 << ((offset + i) % 8)
		}
	}
	r.cut = r.cut || len(g.payload) < g.length
	r.wire += d.pkt.Length
	if r.total == 0 || r.n != 1 || r.pieces[0] != (piece{0, int32(r.total)}) {
		return skip(SkipFragment)
	}
	r.done, r.time = true, d.pkt.Time
	return d.reassembled(r, g)
}

// reassembled decodes a datagram of which all fragments came, the last one g.
func (d *Decoder) reassembled(r *reassembly, g *datagram) Result {
	have := 0
	for have < min(maxHead, r.total) && r.known[have/8]&(1<<(have%8)) != 0 {
		have++
	}
	w := datagram{
		src:     g.src,
		dst:     g.dst,
		payload: r.head[:have],
		length:  r.total,
		id:      g.id,
		proto:   r.proto,
		ttl:     r.ttl,
		v6:      g.v6,
	}
	f, why := w.extensions()
	if why != SkipNone {
		return skip(why)
	}
	if f.is { // fragments of a fragment
		return skip(SkipMalformed)
	}
	if w.proto != protoTCP {
		return skip(SkipFragment)
	}
	if before := r.total - w.length; r.first < before+tcpFlags {
		return skip(SkipMalformed) // made to get past filters (RFC 1858 §3)
	}
	res := d.segment(&w)
	if res.Kind == AsSegment {
		d.Segment.Wire = r.wire
		d.Segment.Cut = r.cut
	}
	return res
}

// find returns the datagram that a fragment belongs to, which may be a new one.
func (f *fragments) find(key fragmentKey, now capture.Time) *reassembly {
	i, ok := f.byKey[key]
	if ok {
		r := &f.slots[i]
		limit := fragmentTimeout
		if r.done {
			limit = fragmentEcho
		}
		if now.Sub(r.time) <= limit {
			return r
		}
		*r = reassembly{key: key, time: now}
		return r
	}
	if f.byKey == nil {
		f.byKey = make(map[fragmentKey]uint16, maxDatagrams)
	}
	if len(f.slots) < maxDatagrams {
		f.slots = append(f.slots, reassembly{})
		f.hand = len(f.slots) - 1
	} else {
		f.hand = (f.hand + 1) % maxDatagrams
		delete(f.byKey, f.slots[f.hand].key)
	}
	r := &f.slots[f.hand]
	*r = reassembly{key: key, time: now}
	f.byKey[key] = uint16(f.hand)
	return r
}

type pieceResult uint8

const (
	pieceNew pieceResult = iota
	pieceKnown
	pieceOverlaps
)

// add notes that the octets from..to came. The pieces are kept in order, and
// joined where they touch.
func (r *reassembly) add(from, to int32) pieceResult {
	i := 0
	for i < r.n && r.pieces[i].to < from {
		i++
	}
	// pieces[i] is the first that touches the new one, or lies behind it.
	if i < r.n && r.pieces[i].from <= from && to <= r.pieces[i].to {
		return pieceKnown
	}
	before := i < r.n && r.pieces[i].to == from
	j := i
	if before {
		j++
	}
	if j < r.n && r.pieces[j].from < to {
		return pieceOverlaps
	}
	behind := j < r.n && r.pieces[j].from == to
	switch {
	case before && behind:
		r.pieces[i].to = r.pieces[j].to
		copy(r.pieces[j:], r.pieces[j+1:r.n])
		r.n--
	case before:
		r.pieces[i].to = to
	case behind:
		r.pieces[j].from = from
	default:
		if r.n == maxPieces {
			return pieceOverlaps // not so, but as little to be followed
		}
		copy(r.pieces[i+1:r.n+1], r.pieces[i:r.n])
		r.pieces[i] = piece{from, to}
		r.n++
	}
	return pieceNew
}
