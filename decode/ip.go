package decode

import (
	"encoding/binary"
)

// IP protocol numbers, and IPv6 extension headers among them.
const (
	protoHopByHop    = 0
	protoICMP        = 1
	protoIPv4        = 4
	protoTCP         = 6
	protoUDP         = 17
	protoIPv6        = 41
	protoRouting     = 43
	protoFragment    = 44
	protoGRE         = 47
	protoESP         = 50
	protoAH          = 51
	protoICMPv6      = 58
	protoDestination = 60
	protoMobility    = 135
	protoHIP         = 139
	protoShim6       = 140
)

// A datagram is what an IP packet tells the layers above.
type datagram struct {
	src, dst Addr
	payload  []byte // what was captured behind the IP headers
	length   int    // octets behind them, by the lengths that they state
	total    int    // octets with them
	id       uint16 // IPv4 only
	proto    uint8
	ttl      uint8
	v6       bool
}

// ip decodes an IP packet of either version: the version field, not what announced
// the packet, tells which, as in the stacks that receive it.
func (d *Decoder) ip(b []byte, wire int) Result {
	if len(b) == 0 {
		return short(wire, 1)
	}
	switch b[0] >> 4 {
	case 4:
		return d.ipv4(b, wire)
	case 6:
		return d.ipv6(b, wire)
	}
	return skip(SkipMalformed)
}

func (d *Decoder) ipv4(b []byte, wire int) Result {
	const least = 20
	if len(b) < least {
		return short(wire, least)
	}
	header := int(b[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 { // segmentation offload: too long for the field, or left to the card
		total = wire
	}
	if header < least || total < header {
		return skip(SkipMalformed)
	}
	d.sliced(total > wire)
	if len(b) < header {
		return skip(SkipCutShort)
	}
	b = b[:min(len(b), total)]
	// Its errors are of options, which come last and are not needed.
	_ = d.ip4.DecodeFromBytes(b[:header], noFeedback)
	g := datagram{
		src:     mapped(d.ip4.SrcIP),
		dst:     mapped(d.ip4.DstIP),
		payload: b[header:],
		length:  total - header,
		total:   total,
		id:      d.ip4.Id,
		proto:   uint8(d.ip4.Protocol),
		ttl:     d.ip4.TTL,
	}
	const moreFragments = 1 << 13
	if f := binary.BigEndian.Uint16(b[6:]); f&0x3fff != 0 {
		return d.fragment(&g, uint32(g.id), int(f&0x1fff)*8, f&moreFragments != 0)
	}
	return d.upper(&g)
}

// sliced notes whether IP says that the packet is longer than what carries it.
// Brokers that slice packets leave it so. The capture is then the shorter one.
func (d *Decoder) sliced(is bool) {
	if is {
		d.cut, d.remark = true, RemarkSliced
	}
}

func mapped(ip []byte) Addr {
	a := Addr{10: 0xff, 11: 0xff}
	copy(a[12:], ip)
	return a
}

// ipv6 reads the header itself: layers.IPv6 follows a hop-by-hop header with it,
// allocating, and then has its length in the payload.
func (d *Decoder) ipv6(b []byte, wire int) Result {
	const header = 40
	if len(b) < header {
		return short(wire, header)
	}
	g := datagram{
		src:    Addr(b[8:24]),
		dst:    Addr(b[24:40]),
		length: int(binary.BigEndian.Uint16(b[4:])),
		proto:  b[6],
		ttl:    b[7],
		v6:     true,
	}
	b, wire = b[header:], wire-header
	if g.length == 0 {
		g.length = wire // segmentation offload
		if g.proto == protoHopByHop {
			if n, ok := jumbo(b); ok {
				if n > wire { // by any number: not to be believed without its octets
					return skip(SkipMalformed)
				}
				g.length = n
			}
		}
	}
	d.sliced(g.length > wire)
	g.total = header + g.length
	g.payload = b[:min(len(b), g.length)]
	f, why := g.extensions()
	switch {
	case why != SkipNone:
		return skip(why)
	case f.is:
		return d.fragment(&g, f.id, f.offset, f.more)
	}
	return d.upper(&g)
}

// jumbo returns the length of a jumbogram (RFC 2675 §2), from its hop-by-hop
// header.
func jumbo(b []byte) (int, bool) {
	const (
		optPad1  = 0
		optJumbo = 0xc2
	)
	if len(b) < 2 {
		return 0, false
	}
	b = b[2:min(len(b), (int(b[1])+1)*8)]
	for len(b) > 0 {
		if b[0] == optPad1 {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return 0, false
		}
		if b[0] == optJumbo && b[1] == 4 {
			n := binary.BigEndian.Uint32(b[2:])
			return int(n), n <= 1<<31-1
		}
		b = b[2+int(b[1]):]
	}
	return 0, false
}

// fragmentHeader is what an IPv6 Fragment header says (RFC 8200 §4.5).
type fragmentHeader struct {
	is     bool
	more   bool
	offset int
	id     uint32
}

// extensions takes the extension headers off g.payload, up to the upper-layer
// header or to a Fragment header of a datagram in several fragments.
func (g *datagram) extensions() (f fragmentHeader, why Skip) {
	for {
		switch g.proto {
		case protoHopByHop, protoRouting, protoFragment, protoAH, protoDestination, protoMobility, protoHIP, protoShim6:
		default:
			return f, SkipNone
		}
		const least = 8
		b := g.payload
		if g.length < least {
			return f, SkipMalformed
		}
		if len(b) < least {
			return f, SkipCutShort
		}
		n := (int(b[1]) + 1) * 8
		switch g.proto {
		case protoAH: // RFC 4302 §2.2
			n = (int(b[1]) + 2) * 4
		case protoFragment:
			n = least
			word := binary.BigEndian.Uint16(b[2:])
			f = fragmentHeader{more: word&1 != 0, offset: int(word &^ 7), id: binary.BigEndian.Uint32(b[4:])}
			f.is = f.more || f.offset != 0 // else an atomic fragment (RFC 6946)
		case protoRouting:
			g.route(b)
		}
		if n > g.length {
			return f, SkipMalformed
		}
		g.proto = b[0]
		g.length -= n
		g.payload = b[min(n, len(b)):]
		if f.is {
			return f, SkipNone
		}
	}
}

// route sets the destination to the last of a routing header, if the packet has
// not got there yet: that is who the segment is for, and what its checksum
// covers (RFC 8200 §8.1).
func (g *datagram) route(b []byte) {
	const (
		sourceRoute = 0 // RFC 2460 §4.4
		mobile      = 2 // RFC 6275 §6.4
		segments    = 4 // RFC 8754 §2, with the last segment first
	)
	addrs := int(b[1]) / 2
	if b[3] == 0 || addrs == 0 {
		return
	}
	at := 8
	switch b[2] {
	case sourceRoute:
		at += 16 * (addrs - 1)
	case mobile, segments:
	default:
		return
	}
	if len(b) >= at+16 {
		g.dst = Addr(b[at : at+16])
	}
}

// upper decodes what an IP packet carries.
func (d *Decoder) upper(g *datagram) Result {
	if g.proto == protoAH && !g.v6 {
		if f, why := g.extensions(); why != SkipNone {
			return skip(why)
		} else if f.is {
			return skip(SkipMalformed)
		}
	}
	switch g.proto {
	case protoTCP:
		return d.segment(g)
	case protoUDP:
		return d.datagramUDP(g)
	case protoICMP, protoICMPv6:
		if (g.proto == protoICMPv6) != g.v6 {
			return skip(SkipProtocol)
		}
		return d.icmp(g)
	case protoIPv4, protoIPv6:
		return d.ipInIP(g)
	case protoGRE:
		return d.gre(g.payload, g.length)
	case protoESP:
		return skip(SkipESP)
	}
	return skip(SkipProtocol)
}
