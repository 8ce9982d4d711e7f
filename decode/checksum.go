package decode

import (
	"encoding/binary"
	"math/bits"
)

// checksum judges the TCP checksum of a segment that was captured whole
// (RFC 9293 §3.1).
//
// Where a network card is to finish it, Linux leaves the pseudo-header's sum in
// the field, neither complemented nor with the segment's octets in it; likewise
// in segments that it merged on arrival. Windows leaves the segment's length out
// as well if the card is to split the segment.
func checksum(src, dst *Addr, b []byte) Checksum {
	addrs := uint64(protoTCP) + sumAddr(src) + sumAddr(dst)
	n := uint64(len(b))
	pseudo := fold(addrs + n>>16 + n&0xffff)
	if fold(uint64(pseudo)+uint64(sum(b))) == 0xffff {
		return ChecksumGood
	}
	if field := binary.BigEndian.Uint16(b[16:]); field == pseudo || field == fold(addrs) {
		return ChecksumOffload
	}
	return ChecksumBad
}

// sumAddr serves both versions of IP: the prefix of an IPv4-mapped address adds
// 0xffff, which is the other zero of one's complement.
func sumAddr(a *Addr) uint64 {
	return uint64(binary.BigEndian.Uint32(a[0:])) + uint64(binary.BigEndian.Uint32(a[4:])) +
		uint64(binary.BigEndian.Uint32(a[8:])) + uint64(binary.BigEndian.Uint32(a[12:]))
}

// sum returns the one's complement sum of b's 16-bit words. The sum commutes with
// swapping the octets of all words (RFC 1071 §2), hence the order of loading.
//
// Two chains of additions with carry run side by side.
func sum(b []byte) uint16 {
	var s, t, c uint64
	i := 0
	for ; i <= len(b)-64; i += 64 {
		p := b[i : i+64 : i+64]
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p), 0)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[24:]), c)
		s += c
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[32:]), 0)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[40:]), c)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[48:]), c)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[56:]), c)
		t += c
	}
	for ; i <= len(b)-16; i += 16 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[i:]), 0)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[i+8:]), c)
		s += c
	}
	s, c = bits.Add64(s, t, 0)
	s += c
	b = b[i:]
	if len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), 0)
		s += c
		b = b[8:]
	}
	s = s>>32 + s&0xffffffff
	if len(b) >= 4 {
		s += uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		s += uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0])
	}
	return bits.ReverseBytes16(fold(s))
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
