package decode

import "encoding/binary"

// Link types that are records about a packet of another link type.

// ppi decodes CACE's Per-Packet Information header, which says of what link type
// the rest is.
func (d *Decoder) ppi(b []byte, wire int) Result {
	const least = 8
	if len(b) < least {
		return short(wire, least)
	}
	return d.wrapped(int(binary.LittleEndian.Uint16(b[2:])), least, binary.LittleEndian.Uint32(b[4:]), b, wire)
}

// pktap decodes the header that macOS puts before packets of several interfaces.
// All Macs of the last decade write it in this order of octets.
func (d *Decoder) pktap(b []byte, wire int) Result {
	const least = 12
	if len(b) < least {
		return short(wire, least)
	}
	n := binary.LittleEndian.Uint32(b)
	return d.wrapped(int(min(n, 1<<30)), least, binary.LittleEndian.Uint32(b[8:]), b, wire)
}

// wrapped decodes what lies behind a header that has n octets, at least least.
func (d *Decoder) wrapped(n, least int, typ uint32, b []byte, wire int) Result {
	if n < least || n > wire {
		return skip(SkipMalformed)
	}
	if len(b) < n {
		return skip(SkipCutShort)
	}
	if !d.nested() {
		return skip(SkipTooDeep)
	}
	return d.link(typ, b[n:], wire-n)
}

// nflog decodes Linux's netfilter log: attributes, of which one is the packet from
// its network header on.
func (d *Decoder) nflog(b []byte, wire int) Result {
	const (
		header    = 4
		attribute = 4 // length and type, in the order of the host that captured

		typePacket  = 1 // has the ethertype
		typePayload = 9

		familyIPv4 = 2
		familyIPv6 = 10
	)
	if len(b) < header {
		return short(wire, header)
	}
	if b[1] != 0 { // version
		return skip(SkipMalformed)
	}
	family, typ := b[0], uint16(0)
	b, wire = b[header:], wire-header
	var order binary.ByteOrder = binary.LittleEndian
	if len(b) >= attribute && b[2] == 0 { // types are small, and none is 0
		order = binary.BigEndian
	}
	for {
		if len(b) < attribute {
			return short(wire, attribute)
		}
		n := int(order.Uint16(b))
		if n < attribute || n > wire {
			return skip(SkipMalformed)
		}
		v := b[attribute:max(attribute, min(n, len(b)))]
		switch order.Uint16(b[2:]) {
		case typePacket:
			if len(v) >= 2 {
				typ = binary.BigEndian.Uint16(v)
			}
		case typePayload:
			if family == familyIPv4 || family == familyIPv6 {
				return d.ip(v, n-attribute)
			}
			return d.ethertype(max(typ, etherLLC+1), v, n-attribute)
		}
		n = (n + 3) / 4 * 4
		if n >= wire {
			return skip(SkipNotIP) // no packet in it
		}
		if len(b) < n {
			return skip(SkipCutShort)
		}
		b, wire = b[n:], wire-n
	}
}
