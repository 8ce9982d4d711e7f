package decode

import "encoding/binary"

// ipInIP decodes an IP packet that is carried by IP itself (RFC 2003, RFC 4213).
func (d *Decoder) ipInIP(g *datagram) Result {
	kind, version := inIPv4, byte(4)
	if g.proto == protoIPv6 {
		kind, version = inIPv6, 6
	}
	outer := uint32(4)
	if g.v6 {
		outer = 6
	}
	if len(g.payload) == 0 {
		return short(g.length, 1)
	}
	if g.payload[0]>>4 != version {
		return skip(SkipMalformed)
	}
	if !d.tunnelled(kind, outer) {
		return skip(SkipTooDeep)
	}
	return d.ip(g.payload, g.length)
}

// carried decodes what a tunnel announces by an ethertype.
func (d *Decoder) carried(typ uint16, b []byte, wire int) Result {
	switch {
	case typ == etherBridged:
		return d.ethernet(b, wire)
	case typ < 0x0600: // GRE's keepalives have 0
		return skip(SkipNotIP)
	}
	return d.ethertype(typ, b, wire)
}

// likeIP reports whether b begins like an IP packet that n octets have room for.
// What has no type of its own is told from other things by it.
func likeIP(b []byte, n int) bool {
	switch {
	case len(b) >= 4 && b[0]>>4 == 4:
		header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
		return header >= 20 && total >= header && total <= n
	case len(b) >= 6 && b[0]>>4 == 6:
		return 40+int(binary.BigEndian.Uint16(b[4:])) <= n
	}
	return false
}

// likeEthernet reports whether b begins like an Ethernet frame of n octets that
// carries IP, in two VLANs at most.
func likeEthernet(b []byte, n int) bool {
	for at := 12; at <= 20 && at+2 < len(b); at += 4 {
		switch binary.BigEndian.Uint16(b[at:]) {
		case etherVLAN, etherQinQ, etherQinQ1, etherQinQ2:
		case etherIPv4, etherIPv6:
			return likeIP(b[at+2:], n-at-2)
		default:
			return false
		}
	}
	return false
}
