package decode

import "encoding/binary"

// relay decodes Frame Relay: with the protocol identifiers of RFC 2427, or with
// Cisco's ethertype in their place. The circuit is no context: it is a line, and
// either end of it may have its own number.
func (d *Decoder) relay(b []byte, wire int) Result {
	const (
		unnumbered = 0x03

		idSNAP = 0x80
		idIPv6 = 0x8e
		idIPv4 = 0xcc
		idPPP  = 0xcf // RFC 1973
	)
	n := 0
	for last := false; !last; n++ { // Q.922's address, of 2 to 4 octets
		if n == 4 {
			return skip(SkipMalformed)
		}
		if len(b) <= n {
			return short(wire, n+1)
		}
		last = b[n]&1 != 0
	}
	b, wire = b[n:], wire-n
	if len(b) < 2 {
		return short(wire, 2)
	}
	if b[0] != unnumbered {
		typ := binary.BigEndian.Uint16(b)
		if typ < 0x0600 {
			return skip(SkipNotIP)
		}
		return d.ethertype(typ, b[2:], wire-2)
	}
	b, wire = b[1:], wire-1
	if b[0] == 0 { // to align what follows
		b, wire = b[1:], wire-1
		if len(b) == 0 {
			return short(wire, 1)
		}
	}
	id := b[0]
	b, wire = b[1:], wire-1
	switch id {
	case idIPv4, idIPv6:
		return d.ip(b, wire)
	case idPPP:
		return d.ppp(b, wire)
	case idSNAP:
		return d.subnetwork(b, wire)
	}
	return skip(SkipNotIP)
}
