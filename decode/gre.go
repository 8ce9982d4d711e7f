package decode

import "encoding/binary"

// Flags of GRE, in its first octet.
const (
	greSum     = 0x80 // checksum, RFC 2784 §2.1
	greRouting = 0x40 // RFC 1701
	greKey     = 0x20 // RFC 2890
	greSeq     = 0x10 // likewise
)

// Types of GRE that are no ethertypes of Ethernet, or hardly.
const (
	grePPP     = 0x880b
	greERSPAN  = 0x88be // types I and II
	greERSPAN3 = 0x22eb
)

// gre decodes GRE (RFC 2784, RFC 2890), and its other version that PPTP has.
func (d *Decoder) gre(b []byte, wire int) Result {
	const least = 4
	if len(b) < least {
		return short(wire, least)
	}
	switch b[1] & 7 {
	case 0:
	case 1:
		return d.pptp(b, wire)
	default:
		return skip(SkipProtocol)
	}
	flags, typ := b[0], binary.BigEndian.Uint16(b[2:])
	header, key := least, uint32(0)
	if flags&(greSum|greRouting) != 0 {
		header += 4
	}
	if flags&greKey != 0 {
		header += 4
		if len(b) < header {
			return short(wire, header)
		}
		key = binary.BigEndian.Uint32(b[header-4:])
	}
	if flags&greSeq != 0 {
		header += 4
	}
	for more := flags&greRouting != 0; more; { // source route entries
		if len(b) < header+4 {
			return short(wire, header+4)
		}
		more = b[header] != 0 || b[header+1] != 0 || b[header+3] != 0
		header += 4 + int(b[header+3])
	}
	if len(b) < header {
		return short(wire, header)
	}
	b, wire = b[header:], wire-header
	switch typ {
	case greERSPAN:
		if flags&greSeq == 0 {
			return d.mirrored(inERSPAN1, 0, b, wire)
		}
		return d.erspan(b, wire)
	case greERSPAN3:
		return d.erspan(b, wire)
	}
	kind, value := inGRE, uint32(0)
	if flags&greKey != 0 {
		kind, value = greNetwork(typ, key)
	}
	if !d.tunnelled(kind, value) {
		return skip(SkipTooDeep)
	}
	if typ == grePPP {
		return d.ppp(b, wire)
	}
	return d.carried(typ, b, wire)
}

// greNetwork tells what a key stands for. NVGRE (RFC 7637 §3.2) has in it a
// network and, in the last octet, a flow. Its networks begin at 0x1000, so that
// a lower number is the key of a tunnel that somebody numbered.
func greNetwork(typ uint16, key uint32) (layerKind, uint32) {
	const firstNetwork = 0x1000
	if typ == etherBridged && key>>8 >= firstNetwork {
		return inNVGRE, key >> 8
	}
	return inGREKey, key
}

// pptp decodes PPP in GRE's version 1 (RFC 2637 §4.1).
func (d *Decoder) pptp(b []byte, wire int) Result {
	const ack = 0x80 // an acknowledgment number is there, a flag in the second octet
	header := 8      // with the key, which holds a length and the call
	if b[0]&greSeq != 0 {
		header += 4
	}
	if b[1]&ack != 0 {
		header += 4
	}
	if b[0]&greKey == 0 || binary.BigEndian.Uint16(b[2:]) != grePPP {
		return skip(SkipProtocol)
	}
	if len(b) < header {
		return short(wire, header)
	}
	if b[0]&greSeq == 0 { // an acknowledgment only
		return skip(SkipNotIP)
	}
	if !d.tunnelled(inPPTP, 0) {
		return skip(SkipTooDeep)
	}
	return d.ppp(b[header:], wire-header)
}

// erspan decodes ERSPAN of type II or III (draft-foschiano-erspan §4).
func (d *Decoder) erspan(b []byte, wire int) Result {
	header := 8
	if len(b) < 1 {
		return short(wire, header)
	}
	ip := false
	switch b[0] >> 4 {
	case 1:
	case 2:
		header = 12
		if len(b) < header {
			return short(wire, header)
		}
		ip = b[10]>>2&0x1f == 2 // the frame type
		if b[11]&1 != 0 {       // a subheader of the platform
			header += 8
		}
	default:
		return skip(SkipNotIP)
	}
	if len(b) < header {
		return short(wire, header)
	}
	session := uint32(binary.BigEndian.Uint16(b[2:]) & 0x3ff)
	if ip {
		if !d.tunnelled(inERSPAN, session) {
			return skip(SkipTooDeep)
		}
		return d.ip(b[header:], wire-header)
	}
	return d.mirrored(inERSPAN, session, b[header:], wire-header)
}

func (d *Decoder) mirrored(kind layerKind, session uint32, b []byte, wire int) Result {
	if !d.tunnelled(kind, session) {
		return skip(SkipTooDeep)
	}
	return d.ethernet(b, wire)
}
