package decode

import (
	"time"

	"tcplife/decode/capture"
)

const (
	// maxDatagrams bounds how many datagrams wait for fragments, at 600 octets
	// each: 1024 of TCP and as many that may be tunnels, which makes 1.2 MiB.
	// Hosts keep about as many (Linux: 4 MiB of them); the oldest go first.
	maxDatagrams = 1024

	// maxPieces bounds into how many pieces, not touching each other, a datagram
	// may have come so far. The longest, in frames of 1500 octets, has 45
	// fragments: whatever their order, they lie in no more than 23 pieces.
	maxPieces = 24

	// maxHead is how much of a datagram's beginning is kept: the longest TCP
	// header, 40 octets of IPv6 and 26 of Ethernet and VLANs before it, and 130
	// for a tunnel's own headers and options.
	maxHead = 256

	// maxFrames bounds how many frames of a datagram are told of, the latest: without
	// overlaps it has no more fragments.
	maxFrames = 1 << 13

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
	frame  uint64       // the first captured
	frames []uint64     // all, if Decoder.Fragmented wants to know
	wire   uint32       // octets of all frames
	total  int          // octets, known when the last fragment came; else 0
	pieces [maxPieces]piece
	n      int // of pieces
	known  [maxHead / 8]uint8
	head   [maxHead]byte
	ttl    uint8 // of the fragment at offset 0
	proto  uint8 // likewise, what follows the Fragment header
	cut    bool  // the capture holds less of a fragment than was sent
	done   bool
	bad    bool
	udp    bool // and no tunnel, by its ports
}

// A piece is a run of octets that has come.
type piece struct{ from, to int32 }

// fragment takes one fragment; offset is of its payload in the datagram. The
// fragment that completes a datagram yields what is in that.
func (d *Decoder) fragment(g *datagram, id uint32, offset int, more bool) Result {
	frags, lost := &d.frags, d.Incomplete
	switch g.proto {
	case protoTCP:
	case protoUDP, protoIPv4, protoIPv6, protoGRE:
		frags, lost = &d.outer, nil // which may hold no TCP
	case protoICMP, protoICMPv6:
		return skip(SkipICMP)
	case protoESP:
		return skip(SkipESP)
	case protoDestination, protoRouting, protoAH, protoHopByHop, protoMobility, protoHIP, protoShim6:
		if !g.v6 && g.proto != protoAH {
			return skip(SkipProtocol)
		}
	default:
		return skip(SkipProtocol)
	}
	key := fragmentKey{src: g.src, dst: g.dst, context: d.context, id: id, v6: g.v6}
	if !g.v6 {
		key.proto = g.proto
	}
	r := frags.find(key, d.pkt.Time, lost)
	if r.n == 0 {
		r.frame = d.pkt.Frame
	}
	if r.bad {
		return skip(SkipMalformed)
	}
	end := offset + g.length
	otherwise := r.contradicts(offset, g.payload) || r.total != 0 && (end > r.total || !more && end != r.total)
	if r.done && otherwise || r.udp && offset == 0 { // of another with its identification
		*r = reassembly{key: key, time: d.pkt.Time, frame: d.pkt.Frame}
		otherwise = false
	}
	if otherwise || g.length == 0 || end > 1<<16-1 || more && g.length%8 != 0 ||
		!more && r.n > 0 && int(r.pieces[r.n-1].to) > end {
		r.bad = true
		return skip(SkipMalformed)
	}
	if offset == 0 && g.proto == protoUDP && !mayTunnel(g.payload) {
		r.udp = true
	}
	if r.udp {
		return skip(SkipUDP)
	}
	switch r.add(int32(offset), int32(end)) {
	case pieceKnown:
		return skip(SkipFragment)
	case pieceTooMany:
		r.bad = true
		return skip(SkipMalformed)
	}
	if !more {
		r.total = end
	}
	if offset == 0 {
		r.ttl, r.proto = g.ttl, g.proto
	}
	r.keep(offset, g.payload)
	r.cut = r.cut || d.cut || len(g.payload) < g.length && !d.headOnly
	r.wire += d.wire
	if d.Fragmented != nil {
		if r.frames = append(r.frames, d.frames...); d.frames == nil {
			r.frames = append(r.frames, d.pkt.Frame)
		}
		r.frames = r.frames[max(len(r.frames)-maxFrames, 0):]
	}
	if r.total == 0 || r.n != 1 || r.pieces[0] != (piece{0, int32(r.total)}) {
		return skip(SkipFragment)
	}
	r.done, r.time = true, d.pkt.Time
	return d.reassembled(r, g)
}

// keep takes the octets at offset that nothing was known of: where fragments
// overlap, the first captured is kept.
func (r *reassembly) keep(offset int, b []byte) {
	for i := offset; i < min(offset+len(b), maxHead); i++ {
		if bit := uint8(1) << (i % 8); r.known[i/8]&bit == 0 {
			r.known[i/8] |= bit
			r.head[i] = b[i-offset]
		}
	}
}

// contradicts reports whether b at offset differs from what is known. Which of the
// two the receiver makes use of, or that it drops both (RFC 5722 §3), the capture
// does not show. Beyond what is kept, only lengths matter, and they agree.
func (r *reassembly) contradicts(offset int, b []byte) bool {
	for i := offset; i < min(offset+len(b), maxHead); i++ {
		if r.known[i/8]&(1<<(i%8)) != 0 && r.head[i] != b[i-offset] {
			return true
		}
	}
	return false
}

// reassembled decodes a datagram of which all fragments came, the last one g.
func (d *Decoder) reassembled(r *reassembly, g *datagram) Result {
	have := 0
	for have < min(maxHead, r.total) && r.known[have/8]&(1<<(have%8)) != 0 {
		have++
	}
	// Not r's own, which what lies in it may push out if it is a fragment, too.
	head := d.heads[d.depth][:copy(d.heads[d.depth][:have], r.head[:have])]
	w := datagram{
		src:     g.src,
		dst:     g.dst,
		payload: head,
		length:  r.total,
		total:   g.total - g.length + r.total,
		id:      g.id,
		proto:   r.proto,
		ttl:     r.ttl,
		v6:      g.v6,
	}
	if g.v6 {
		w.total -= 8 // the Fragment header
	}
	d.wire, d.cut, d.headOnly = r.wire, r.cut, true
	d.frames, r.frames = r.frames, nil
	f, why := w.extensions()
	if why != SkipNone {
		return skip(why)
	}
	if f.is { // fragments of a fragment
		return skip(SkipMalformed)
	}
	return d.upper(&w)
}

// giveUp tells lost, if set, of a datagram of which fragments are missing.
func (r *reassembly) giveUp(lost func(frame uint64)) {
	if lost != nil && r.n > 0 && !r.done && !r.bad {
		lost(r.frame)
	}
}

// find returns the datagram that a fragment belongs to, which may be a new one.
// lost is told of one that is given up for it.
func (f *fragments) find(key fragmentKey, now capture.Time, lost func(frame uint64)) *reassembly {
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
		r.giveUp(lost)
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
		f.slots[f.hand].giveUp(lost)
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
	pieceTooMany
)

// add notes that the octets from..to came. The pieces are kept in order, and
// joined where they touch or overlap.
func (r *reassembly) add(from, to int32) pieceResult {
	i := 0
	for i < r.n && r.pieces[i].to < from {
		i++
	}
	j := i
	for j < r.n && r.pieces[j].from <= to {
		j++
	}
	// pieces[i:j] are those that the new one joins.
	switch {
	case i == j && r.n == maxPieces:
		return pieceTooMany
	case i == j:
		copy(r.pieces[i+1:r.n+1], r.pieces[i:r.n])
		r.pieces[i] = piece{from, to}
		r.n++
		return pieceNew
	case r.pieces[i].from <= from && to <= r.pieces[i].to:
		return pieceKnown
	}
	r.pieces[i] = piece{min(from, r.pieces[i].from), max(to, r.pieces[j-1].to)}
	copy(r.pieces[i+1:], r.pieces[j:r.n])
	r.n -= j - i - 1
	return pieceNew
}
