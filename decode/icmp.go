package decode

import "encoding/binary"

// icmp decodes an ICMP or ICMPv6 message into d.ICMP, if it is an error that
// quotes a TCP segment (RFC 792, RFC 4443 §3).
func (d *Decoder) icmp(g *datagram) Result {
	const (
		header = 8
		ports  = 8 // octets of the segment that every quotation has
	)
	b := g.payload
	if len(b) < header || g.length < header {
		if len(b) > 0 && !isError(g.v6, b[0]) {
			return skip(SkipICMP)
		}
		return short(g.length, header)
	}
	if !isError(g.v6, b[0]) {
		return skip(SkipICMP)
	}
	q := datagram{v6: g.v6}
	if !q.quoted(b[header:]) || q.proto != protoTCP || len(q.payload) < ports {
		return skip(SkipICMP)
	}
	d.ICMP = ICMPError{
		Time:    d.pkt.Time,
		Frame:   d.pkt.Frame,
		Context: d.context,
		From:    g.src,
		V6:      g.v6,
		Type:    b[0],
		Code:    b[1],
		Src:     q.src,
		Dst:     q.dst,
		SrcPort: binary.BigEndian.Uint16(q.payload),
		DstPort: binary.BigEndian.Uint16(q.payload[2:]),
		Seq:     binary.BigEndian.Uint32(q.payload[4:]),
	}
	return Result{Kind: AsICMP}
}

// isError reports whether an ICMP message of the type is an error. A redirect,
// which quotes too, is none: the segment went on.
func isError(v6 bool, typ uint8) bool {
	if v6 {
		return typ >= 1 && typ <= 4 // unreachable, too big, time exceeded, parameter problem
	}
	switch typ {
	case 3, 4, 11, 12: // unreachable, source quench, time exceeded, parameter problem
		return true
	}
	return false
}

// quoted decodes the beginning of a packet that an ICMP error quotes, and reports
// whether that holds the beginning of what the IP packet carried. The lengths in
// its headers are not looked at: they say what was sent.
func (g *datagram) quoted(b []byte) bool {
	if len(b) == 0 || (b[0]>>4 == 6) != g.v6 {
		return false
	}
	if g.v6 {
		const header = 40
		if len(b) < header {
			return false
		}
		g.src, g.dst, g.proto = Addr(b[8:24]), Addr(b[24:40]), b[6]
		g.payload, g.length = b[header:], len(b)-header
		f, why := g.extensions()
		return why == SkipNone && f.offset == 0
	}
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	header := int(b[0]&0x0f) * 4
	if header < 20 || header > len(b) || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return false
	}
	g.src, g.dst, g.proto = mapped(b[12:16]), mapped(b[16:20]), b[9]
	g.payload, g.length = b[header:], len(b)-header
	return true
}
