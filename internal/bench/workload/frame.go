package workload

import (
	"bytes"
	"encoding/binary"

	"tcplife/decode"
)

// ends are the addresses and ports of a connection, client first.
type ends struct {
	addr [2]uint32 // IPv4, or the end of the IPv6 address
	port [2]uint16
	v6   bool
}

var serverPorts = [...]uint16{443, 443, 443, 80, 80, 22, 5432, 8080}

// endsOf returns what a connection runs between: of 8192 clients and 250 servers,
// one in ten over IPv6, each client's ports one after the other. No two
// connections below 500 million are the same.
func endsOf(id uint32) ends {
	h := scramble(uint64(id) ^ 0xe4d5)
	return ends{
		addr: [2]uint32{10<<24 | 1<<16 | id&0x1fff, 172<<24 | 16<<16 | uint32(h%250) + 1},
		port: [2]uint16{uint16(1024 + id>>13), serverPorts[h>>32%8]},
		v6:   h>>40%10 == 0,
	}
}

// spoofed returns a source that no other connection has, and the one server.
func spoofed(id uint32) ends {
	id *= 0x9e3779b1 // odd, so no two products are the same
	return ends{addr: [2]uint32{id, 172<<24 | 16<<16 | 1}, port: [2]uint16{uint16(1024 + id%60_000), 443}}
}

// A header is what a segment says.
type header struct {
	ends
	from     uint8
	flags    decode.Flags
	seq, ack uint32
	val, ecr uint32 // the timestamp option
	bare     bool   // a SYN without options, padded to Ethernet's least
	payload  int    // octets
}

const (
	ethernet   = 14
	leastFrame = 60
	filler     = 'x'
	prefix     = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00" // 2001:db8::/96
)

// A frame is the buffer that packets are built in. What it returns is valid until
// the next one. All checksums are right.
type frame struct {
	b  [2048]byte
	id uint16 // the next IPv4 packet's identification
}

var be = binary.BigEndian

var fillers = bytes.Repeat([]byte{filler}, mss)

func (f *frame) segment(h *header) []byte {
	options := 12
	switch {
	case h.bare:
		options = 0
	case h.flags.Has(decode.SYN):
		options = 20
	}
	n := 20 + options + h.payload
	sum, at := f.ip(&h.ends, h.from, 6, n)
	t := f.b[at : at+20+options]
	be.PutUint16(t, h.port[h.from])
	be.PutUint16(t[2:], h.port[1-h.from])
	be.PutUint32(t[4:], h.seq)
	be.PutUint32(t[8:], h.ack)
	t[12], t[13] = byte(20+options)<<2, byte(h.flags)
	be.PutUint16(t[14:], 64240)
	be.PutUint32(t[16:], 0) // checksum, urgent pointer
	switch options {
	case 12: // two NOPs, timestamps
		be.PutUint32(t[20:], 0x0101080a)
		be.PutUint32(t[24:], h.val)
		be.PutUint32(t[28:], h.ecr)
	case 20: // MSS 1460, SACK permitted, timestamps, NOP, window scale 7
		be.PutUint64(t[20:], 0x020405b40402080a)
		be.PutUint32(t[28:], h.val)
		be.PutUint32(t[32:], h.ecr)
		be.PutUint32(t[36:], 0x01030307)
	}
	be.PutUint16(t[16:], ^fold(sum+words(t)+fill(f.b[at+len(t):][:h.payload])))
	return f.pad(at + n)
}

func (f *frame) datagram(e ends, payload int) []byte {
	const discard = 9
	sum, at := f.ip(&e, client, 17, 8+payload)
	u := f.b[at : at+8]
	be.PutUint16(u, e.port[client])
	be.PutUint16(u[2:], discard)
	be.PutUint16(u[4:], uint16(8+payload))
	be.PutUint16(u[6:], 0)
	be.PutUint16(u[6:], ^fold(sum+words(u)+fill(f.b[at+8:][:payload])))
	return f.pad(at + 8 + payload)
}

// ip writes Ethernet's and IP's headers for n octets of a protocol. It returns the
// sum of the pseudo-header, and where those octets go.
func (f *frame) ip(e *ends, from, protocol uint8, n int) (sum uint64, at int) {
	copy(f.b[:], "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00")
	if e.v6 {
		at = ethernet + 40
		ip := f.b[ethernet:at]
		be.PutUint16(f.b[12:], 0x86dd)
		be.PutUint32(ip, 0x60000000)
		be.PutUint16(ip[4:], uint16(n))
		ip[6], ip[7] = protocol, 64
		copy(ip[8:], prefix)
		be.PutUint32(ip[20:], e.addr[from])
		copy(ip[24:], prefix)
		be.PutUint32(ip[36:], e.addr[1-from])
		return words(ip[8:]) + uint64(protocol) + uint64(n), at
	}
	at = ethernet + 20
	ip := f.b[ethernet:at]
	be.PutUint32(ip, 0x45000000|uint32(20+n))
	be.PutUint16(ip[4:], f.id)
	f.id++
	be.PutUint16(ip[6:], 0x4000) // DF
	ip[8], ip[9] = 64, protocol
	be.PutUint16(ip[10:], 0)
	be.PutUint32(ip[12:], e.addr[from])
	be.PutUint32(ip[16:], e.addr[1-from])
	be.PutUint16(ip[10:], ^fold(words(ip)))
	return words(ip[12:]) + uint64(protocol) + uint64(n), at
}

// pad makes a frame of n octets as long as Ethernet has it.
func (f *frame) pad(n int) []byte {
	if n < leastFrame {
		clear(f.b[n:leastFrame])
		n = leastFrame
	}
	return f.b[:n]
}

// fill writes payload, and returns its sum.
func fill(b []byte) uint64 {
	copy(b, fillers)
	sum := uint64(len(b)/2) * (filler<<8 | filler)
	if len(b)%2 > 0 {
		sum += filler << 8
	}
	return sum
}

// words returns the sum of the 16-bit words of b, whose length is even.
func words(b []byte) (sum uint64) {
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(be.Uint32(b)) // 2^16 is 1 modulo 2^16-1
	}
	if len(b) > 0 {
		sum += uint64(be.Uint16(b))
	}
	return sum
}

// fold returns the ones' complement sum (RFC 1071).
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
