package decode

import (
	"encoding/binary"

	"tcplife/decode/capture"
)

// fast decodes p into s if it is framed as nearly all packets are: a TCP segment,
// its header captured whole, in IPv4 without options or IPv6 without extension
// headers, and that in Ethernet or Linux's cooked header, tagged or not, or in
// nothing. It reports false for all others, and for all that is odd in these, such
// as fragments: decode takes those.
//
// It does what decode does with gopacket's layers, in a third of the time. They
// remain the decoder of record: FuzzFast holds both equal.
func (d *Decoder) fast(p *capture.Packet, wire int, s *Segment) bool {
	b, typ := p.Data, uint16(etherIPv4)
	switch p.LinkType {
	case linkEthernet:
		if len(b) < 14 {
			return false
		}
		typ, b = binary.BigEndian.Uint16(b[12:]), b[14:]
	case linkSLL:
		if len(b) < 16 || !plain(b[2:]) {
			return false
		}
		typ, b = binary.BigEndian.Uint16(b[14:]), b[16:]
	case linkSLL2:
		if len(b) < 20 || !plain(b[8:]) {
			return false
		}
		typ, b = binary.BigEndian.Uint16(b), b[20:]
	case linkRaw, linkRawBSD, linkRawOBSD, linkIPv4, linkIPv6:
	default:
		return false
	}
	for typ == etherVLAN || typ == etherQinQ {
		if len(b) < 4 || !d.nested() {
			return false
		}
		if id := binary.BigEndian.Uint16(b) & 0xfff; id != 0 {
			d.enter(inVLAN, uint32(id))
		}
		typ, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	if typ != etherIPv4 && typ != etherIPv6 || len(b) < 20+tcpHeader {
		return false
	}

	wire -= len(p.Data) - len(b)
	var at, addrs, n int // where TCP begins, and octets of the addresses right before it; octets of the segment
	switch b[0] >> 4 {   // whatever the ethertype says
	case 4:
		at, addrs, n = 20, 8, int(binary.BigEndian.Uint16(b[2:]))-20
		fragment := binary.BigEndian.Uint16(b[6:]) & 0x3fff
		if b[0] != 0x45 || b[9] != protoTCP || fragment != 0 {
			return false
		}
		*s = Segment{Src: Addr{10: 0xff, 11: 0xff}, Dst: Addr{10: 0xff, 11: 0xff}}
		copy(s.Src[12:], b[12:16])
		copy(s.Dst[12:], b[16:20])
		s.IPID = binary.BigEndian.Uint16(b[4:])
		s.HasIPID = s.IPID != 0
		s.TTL = b[8]
	case 6:
		at, addrs, n = 40, 32, int(binary.BigEndian.Uint16(b[4:]))
		if b[6] != protoTCP || len(b) < 40+tcpHeader {
			return false
		}
		*s = Segment{Src: Addr(b[8:24]), Dst: Addr(b[24:40]), TTL: b[7]}
	default:
		return false
	}

	tcp := b[at:]
	header := int(tcp[12]>>4) * 4
	if header < tcpHeader || header > min(n, len(tcp)) || n > wire-at {
		return false
	}
	s.Time, s.Frame, s.Wire, s.Headers, s.Context = p.Time, p.Frame, p.Length, uint16(at+header), d.context
	s.SrcPort, s.DstPort = binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
	s.Seq, s.Ack = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
	s.Flags = Flags(tcp[13])
	s.Wnd = binary.BigEndian.Uint16(tcp[14:])
	s.Len = uint32(n - header)
	switch {
	case len(tcp) < n:
		s.Cut = true
	case sumsUp(sum(b[at-addrs:at+n]), n):
		s.Checksum = ChecksumGood
	default:
		s.Checksum = checksumNotGood(&s.Src, &s.Dst, tcp[:n])
	}
	// The options of nearly all segments but SYNs: RFC 7323, appendix A.
	const stamped = kindNOP<<24 | kindNOP<<16 | kindTimestamps<<8 | 10
	if header == 32 && binary.BigEndian.Uint32(tcp[20:]) == stamped {
		s.TSVal, s.TSEcr = binary.BigEndian.Uint32(tcp[24:]), binary.BigEndian.Uint32(tcp[28:])
		s.Opts = OptTimestamps
		return true
	}
	return s.options(tcp[tcpHeader:header])
}

// plain reports whether the ARPHRD_ value in Linux's cooked header is of an
// interface whose packets are announced by ethertypes and nothing else.
func plain(b []byte) bool {
	const (
		ether    = 1
		loopback = 772
	)
	hw := binary.BigEndian.Uint16(b)
	return hw == ether || hw == loopback
}
