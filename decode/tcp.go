package decode

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"
)

const (
	tcpHeader    = 20
	tcpMaxHeader = 60
	tcpFlags     = 14 // octets up to the flags: the least that tells what a segment does
	tcpWindow    = 16 // up to the window
)

// TCP option kinds.
const (
	kindEnd           = 0
	kindNOP           = 1
	kindMSS           = 2
	kindScale         = 3
	kindSACKPermitted = 4
	kindSACK          = 5
	kindTimestamps    = 8
	kindFastOpen      = 34
	kindExperiment1   = 253 // RFC 6994
	kindExperiment2   = 254

	magicFastOpen = 0xf989 // RFC 7413, of the experiment that preceded kind 34
)

// segment decodes a TCP segment into d.seg.
func (d *Decoder) segment(g *datagram) Result {
	b, n := g.payload, g.length
	if n < tcpHeader {
		return skip(SkipMalformed)
	}
	if len(b) < tcpFlags {
		return skip(SkipCutShort)
	}
	header := int(b[12]>>4) * 4
	if header < tcpHeader || header > n {
		return skip(SkipMalformed)
	}
	s := d.seg
	*s = Segment{
		Time:    d.pkt.Time,
		Frame:   d.pkt.Frame,
		Wire:    d.wire,
		Headers: uint16(g.total - n + header),
		Context: d.context,
		Src:     g.src,
		Dst:     g.dst,
		Len:     uint32(n - header),
		Flags:   Flags(b[13]),
		IPID:    g.id,
		HasIPID: g.id != 0,
		TTL:     g.ttl,
		// Of a datagram put together, octets that are not kept were captured.
		Cut: d.cut || len(b) < n && !(d.headOnly && len(b) >= header),
	}
	if len(b) < header {
		s.cutHeader(b, header)
	} else {
		err := d.tcp.DecodeFromBytes(b[:header], noFeedback)
		s.SrcPort, s.DstPort = uint16(d.tcp.SrcPort), uint16(d.tcp.DstPort)
		s.Seq, s.Ack, s.Wnd = d.tcp.Seq, d.tcp.Ack, d.tcp.Window
		opts := d.tcp.Options
		if err != nil && len(opts) > 0 { // of the last one
			opts = opts[:len(opts)-1]
			s.Opts |= OptUnknown
		}
		for i := range opts {
			if k := opts[i].OptionType; k != layers.TCPOptionKindNop && k != layers.TCPOptionKindEndList {
				s.option(uint8(k), opts[i].OptionData)
			}
		}
	}
	if !s.Cut && len(b) == n {
		s.Checksum = checksum(&g.src, &g.dst, b)
	}
	return Result{Kind: AsSegment}
}

// cutHeader reads what the capture holds of a header, which layers.TCP refuses.
func (s *Segment) cutHeader(b []byte, header int) {
	s.Opts |= OptCut
	s.SrcPort, s.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	s.Seq, s.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if len(b) >= tcpWindow {
		s.Wnd = binary.BigEndian.Uint16(b[14:])
	} else {
		s.NoWnd = true
	}
	if header == tcpHeader {
		return
	}
	s.Opts |= OptUnknown
	if len(b) > tcpHeader {
		s.options(b[tcpHeader:])
	}
}

// options takes the options in b. It stops and reports false at one that has no
// possible length.
func (s *Segment) options(b []byte) bool {
	for len(b) > 0 && b[0] != kindEnd {
		n := 1
		if b[0] != kindNOP {
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				return false
			}
			n = int(b[1])
			s.option(b[0], b[2:n])
		}
		b = b[n:]
	}
	return true
}

// option takes one option. One that has not the length of its kind is malformed.
func (s *Segment) option(kind uint8, v []byte) {
	ok := true
	switch kind {
	case kindMSS:
		if ok = len(v) == 2; ok {
			s.MSS = binary.BigEndian.Uint16(v)
			s.Opts |= OptMSS
		}
	case kindScale:
		if ok = len(v) == 1; ok {
			s.Scale = min(v[0], 14)
			s.Opts |= OptScale
		}
	case kindSACKPermitted:
		if ok = len(v) == 0; ok {
			s.Opts |= OptSACKPermitted
		}
	case kindTimestamps:
		if ok = len(v) == 8; ok {
			s.TSVal, s.TSEcr = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
			s.Opts |= OptTimestamps
		}
	case kindSACK:
		if ok = len(v) != 0 && len(v)%8 == 0; ok {
			s.sack(v)
		}
	case kindFastOpen:
		s.Opts |= OptFastOpen
	case kindExperiment1, kindExperiment2:
		if len(v) >= 2 && binary.BigEndian.Uint16(v) == magicFastOpen {
			s.Opts |= OptFastOpen
		}
	}
	if !ok {
		s.Opts |= OptUnknown
	}
}

// sack takes the blocks of a SACK option. Those at or below Ack, which report
// duplicates (RFC 2883), have no edge to tell.
func (s *Segment) sack(v []byte) {
	for ; len(v) >= 8; v = v[8:] {
		right := binary.BigEndian.Uint32(v[4:])
		above := int32(right - s.Ack)
		if above > 0 && (!s.Opts.Has(OptSACK) || above > int32(s.SACKEdge-s.Ack)) {
			s.SACKEdge = right
			s.Opts |= OptSACK
		}
	}
}
