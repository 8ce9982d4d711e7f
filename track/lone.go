package track

import (
	"tcplife/decode"
	"tcplife/decode/capture"
)

// A loneSYN is a connection of one plain SYN over IPv4: what a flood is made of.
// It is kept as that segment, and counted anew when it is looked at.
type loneSYN struct {
	time              capture.Time
	id                uint64
	src, dst          uint32
	seq, tsVal        uint32
	frame, stream     uint32
	frameHi           uint16
	wire              uint16
	sp, dp            uint16
	wnd, ipID         uint16
	mss, headers      uint16
	opts              decode.Opts
	scale, flags, ttl uint8
	checksum          decode.Checksum
}

// v4 returns the IPv4 address in a; false if it is none.
func v4(a *decode.Addr) (ip uint32, ok bool) {
	return uint32(be64(a[8:])), be64(a[:8]) == 0 && be64(a[8:])>>32 == v4Prefix>>32
}

func v4Mapped(ip uint32) decode.Addr {
	return decode.Addr{10: 0xff, 11: 0xff, 12: byte(ip >> 24), 13: byte(ip >> 16), 14: byte(ip >> 8), 15: byte(ip)}
}

// addLone keeps a connection of the segment alone, if that is a plain SYN.
func (s *store) addLone(seg *decode.Segment, id uint64, hash uint32) bool {
	src, ok := v4(&seg.Src)
	dst, ok2 := v4(&seg.Dst)
	if !ok || !ok2 || seg.Flags&^(decode.ECE|decode.CWR) != decode.SYN || seg.Len != 0 || seg.Context != 0 ||
		seg.NoWnd || seg.Frame >= 1<<48 || seg.Wire >= 1<<16 || seg.Opts.Has(decode.OptSACK) || seg.HasIPID && seg.IPID == 0 {
		return false
	}
	n := s.lones.New()
	l := s.lones.At(n)
	*l = loneSYN{
		time: seg.Time, id: id, src: src, dst: dst, seq: seg.Seq, tsVal: seg.TSVal, stream: seg.Stream, ttl: seg.TTL,
		frame: uint32(seg.Frame), frameHi: uint16(seg.Frame >> 32), wire: uint16(seg.Wire), sp: seg.SrcPort, dp: seg.DstPort,
		wnd: seg.Wnd, mss: seg.MSS, headers: seg.Headers, opts: seg.Opts, scale: seg.Scale, flags: uint8(seg.Flags), checksum: seg.Checksum,
	}
	if seg.HasIPID {
		l.ipID = seg.IPID
	}
	s.table.Insert(hash, uint32(loneRef|ref(n)))
	return true
}

// key returns the key of the SYN's connection.
func (s *loneSYN) key() shortKey {
	if s.src > s.dst || s.src == s.dst && s.sp > s.dp {
		return shortKey{s.dst, s.src, s.dp, s.sp, 0}
	}
	return shortKey{s.src, s.dst, s.sp, s.dp, 0}
}

// replay makes c, which must be empty, the connection of the SYN.
func (s *loneSYN) replay(c *Conn) {
	seg := s.segment()
	c.open(s.id, &seg)
	c.notes, c.order, c.now = 0, 0, seg.Time
	snd, rcv := c.direction(&seg)
	c.tally(snd, rcv, &seg)
	c.segment(snd, rcv, &seg)
	snd.noteSYN(seg.Time)
}

// segment returns the SYN.
func (s *loneSYN) segment() decode.Segment {
	return decode.Segment{
		Time: s.time, Frame: uint64(s.frameHi)<<32 | uint64(s.frame), Wire: uint32(s.wire),
		Src: v4Mapped(s.src), Dst: v4Mapped(s.dst), SrcPort: s.sp, DstPort: s.dp,
		Headers: s.headers, Stream: s.stream, TTL: s.ttl, Seq: s.seq, Wnd: s.wnd, Flags: decode.Flags(s.flags), Checksum: s.checksum,
		Opts: s.opts, MSS: s.mss, Scale: s.scale, TSVal: s.tsVal, IPID: s.ipID, HasIPID: s.ipID != 0,
	}
}
