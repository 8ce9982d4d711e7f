package decode

import (
	"net/netip"

	"tcplife/decode/capture"
)

// Addr is an IP address, IPv4 in its IPv4-mapped form (RFC 4291 §2.5.5.2).
type Addr [16]byte

// IP returns the address as netip has it, an IPv4 address as IPv4.
func (a Addr) IP() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Flags holds the control bits of a TCP header (RFC 9293 §3.1).
type Flags uint8

// The control bits.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has reports whether all bits of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

// Any reports whether at least one bit of g is set.
func (f Flags) Any(g Flags) bool { return f&g != 0 }

// Opts tells which options a segment carried, and what is known about them.
type Opts uint8

// What is known of a segment's options.
const (
	OptMSS           Opts = 1 << iota // MSS is valid
	OptScale                          // Scale is valid
	OptSACKPermitted                  //
	OptTimestamps                     // TSVal and TSEcr are valid
	OptSACK                           // SACKEdge is valid
	OptFastOpen                       // Fast Open option, with or without a cookie (RFC 7413)
	OptCut                            // the capture ends before the header does, options included
	OptUnknown                        // options were there, but cut off or malformed: the others may be missing
)

// Has reports whether all bits of p are set.
func (o Opts) Has(p Opts) bool { return o&p == p }

// Checksum says what the TCP checksum of a segment shows.
type Checksum uint8

// Verdicts on checksums.
const (
	ChecksumUnknown Checksum = iota // not verifiable: segment cut short, or put together from fragments
	ChecksumGood
	ChecksumOffload // the bare sum of the pseudo-header: the sender's network card was to finish it
	ChecksumBad
	NumChecksums
)

func (c Checksum) String() string {
	return [NumChecksums]string{"unknown", "good", "offload", "bad"}[c]
}

// A Segment is one TCP segment. It holds no pointers, so that millions of them
// cost the garbage collector nothing.
type Segment struct {
	Time    capture.Time
	Frame   uint64
	Wire    uint32 // octets of its frame on the wire, link layer included; of all frames if it was fragmented
	Context uint32 // what it was encapsulated in; see Decoder.Context. 0: nothing
	Stream  uint32 // 1 + its number by Streams; 0 if it was not numbered

	Src, Dst         Addr
	SrcPort, DstPort uint16

	Seq, Ack uint32 // Ack is meaningful only with the ACK flag
	Len      uint32 // octets of payload, by the lengths in the IP header
	Wnd      uint16 // as sent, unscaled; 0 and meaningless if NoWnd
	Flags    Flags
	Checksum Checksum

	Opts         Opts
	Scale        uint8  // window scale shift as sent (RFC 7323 §2.2), but 14 for more (§2.3)
	MSS          uint16 //
	TSVal, TSEcr uint32
	SACKEdge     uint32 // right edge of the highest SACK block that lies above Ack

	IPID    uint16 // IPv4 identification, meaningful if HasIPID
	Headers uint16 // octets of its IP and TCP headers; see IPLen
	HasIPID bool   // IPv4 and identification not 0
	TTL     uint8  // or IPv6 hop limit
	Cut     bool   // the capture holds less of the TCP header or payload than was sent
	NoWnd   bool   // it ends before the window field
}

// End returns the sequence number after the segment: SYN and FIN count for one
// each (SEG.SEQ + SEG.LEN of RFC 9293 §3.4).
func (s *Segment) End() uint32 {
	n := s.Seq + s.Len
	if s.Flags.Any(SYN) {
		n++
	}
	if s.Flags.Any(FIN) {
		n++
	}
	return n
}

// IPLen returns the octets of the IP packet, by its own lengths; of the one put
// together if it was fragmented.
func (s *Segment) IPLen() uint32 { return uint32(s.Headers) + s.Len }

// An ICMPError is an ICMP or ICMPv6 error message that quotes a TCP segment.
type ICMPError struct {
	Time             capture.Time
	Frame            uint64
	Context          uint32
	From             Addr  // who sent the message
	V6               bool  // ICMPv6
	Type, Code       uint8 // as on the wire
	Src, Dst         Addr  // of the quoted segment
	SrcPort, DstPort uint16
	Seq              uint32 // of the quoted segment; ICMP quotes at least 8 octets of it
}
