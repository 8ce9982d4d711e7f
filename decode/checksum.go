package decode

import (
	"encoding/binary"
	"math/bits"
)

// checksum judges the TCP checksum of a segment that was captured whole
// (RFC 9293 §3.1).
func checksum(src, dst *Addr, b []byte) Checksum {
	if sumsUp(sum(src[:])+sum(dst[:])+sum(b), len(b)) {
		return ChecksumGood
	}
	return checksumNotGood(src, dst, b)
}

// checksumNotGood tells why a checksum is not good.
//
// Where a network card is to finish it, Linux leaves the pseudo-header's sum in
// the field, neither complemented nor with the segment's octets in it; likewise
// in segments that it merged on arrival. Windows leaves the segment's length out
// as well if the card is to split the segment.
func checksumNotGood(src, dst *Addr, b []byte) Checksum {
	addrs := protoTCP + sumAddr(src) + sumAddr(dst)
	n := uint64(len(b))
	if field := binary.BigEndian.Uint16(b[16:]); field == fold(addrs+n) || field == fold(addrs) {
		return ChecksumOffload
	}
	return ChecksumBad
}

// sumsUp reports whether a segment of n octets has a good checksum, of which, with
// its addresses, s is the sum.
//
// One's complement addition of 16-bit words is addition modulo 0xffff, with two
// zeros, of which a sum that is not of zeros only comes to the one with all bits
// set. And swapping the octets of a word is multiplying it by 256.
func sumsUp(s uint64, n int) bool {
	return (s+uint64(protoTCP+n)<<8)%0xffff == 0
}

// sum returns the sum of b's 16-bit words modulo 0xffff, as a number below 2^33. b
// has at least 8 octets. The words are taken as little-endian: the sum is zero in
// both orders (RFC 1071 §2).
//
// Two chains of additions with carry run side by side.
func sum(b []byte) uint64 {
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
	if i <= len(b)-8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[i:]), 0)
		s += c
		i += 8
	}
	rest := binary.LittleEndian.Uint64(b[len(b)-8:]) >> (64 - 8*uint(len(b)-i))
	s, c = bits.Add64(s, t, 0)
	s, c = bits.Add64(s, rest, c)
	s += c
	return s>>32 + s&0xffffffff
}

// sumAddr serves both versions of IP: the prefix of an IPv4-mapped address adds
// 0xffff, which is the other zero of one's complement.
func sumAddr(a *Addr) uint64 {
	return uint64(binary.BigEndian.Uint32(a[0:])) + uint64(binary.BigEndian.Uint32(a[4:])) +
		uint64(binary.BigEndian.Uint32(a[8:])) + uint64(binary.BigEndian.Uint32(a[12:]))
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
