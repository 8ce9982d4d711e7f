package decode

import "encoding/binary"

// PPP protocol numbers (RFC 1661 §2).
const (
	pppIPv4      = 0x0021
	pppIPv6      = 0x0057
	pppMPLS      = 0x0281
	pppMPLSMulti = 0x0283
)

// ppp decodes a PPP frame, with or without the address and control octets of its
// HDLC framing (RFC 1662 §3.1), its protocol number compressed or not.
func (d *Decoder) ppp(b []byte, wire int) Result {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 0x03 {
		b, wire = b[2:], wire-2
	}
	if len(b) < 2 {
		return short(wire, 2)
	}
	proto, n := int(binary.BigEndian.Uint16(b)), 2
	if b[0]&1 != 0 {
		proto, n = int(b[0]), 1
	}
	b, wire = b[n:], wire-n
	switch proto {
	case pppIPv4, pppIPv6:
		return d.ip(b, wire)
	case pppMPLS, pppMPLSMulti:
		return d.mpls(b, wire)
	}
	return skip(SkipNotIP)
}

// pppoe decodes a frame of a PPPoE session (RFC 2516 §4). Its length is not
// looked at: IP has its own, and receivers go by that. The session is no context:
// it is a line, on which one host is.
func (d *Decoder) pppoe(b []byte, wire int) Result {
	const header = 6
	if len(b) < header {
		return short(wire, header)
	}
	const session = 0 // the code of frames that are not of its discovery
	if b[0] != 0x11 || b[1] != session {
		return skip(SkipNotIP)
	}
	return d.ppp(b[header:], wire-header)
}

// ciscoHDLC decodes Cisco's framing of serial lines, which has an ethertype.
func (d *Decoder) ciscoHDLC(b []byte, wire int) Result {
	const header = 4
	if len(b) < header {
		return short(wire, header)
	}
	typ := binary.BigEndian.Uint16(b[2:])
	if typ < 0x0600 {
		return skip(SkipNotIP)
	}
	return d.ethertype(typ, b[header:], wire-header)
}
