package track

import (
	"tcplife/decode"
	"tcplife/decode/capture"
)

// A loneSYN is a connection of one plain SYN over IPv4: what a flood is made of.
// It is kept as that segment, and counted anew when it is looked at.
type loneSYN struct {
	time           capture.Time
	src, dst       uint32
	seq, tsVal     uint32
	frameLo, idLo  uint32
	sp, dp         uint16
	wnd, ipID, mss uint16
	frameHi, idHi  uint8 // with the upper half: file << 2 | frame >> 32; the number, provisional in the uppermost bit
	opts           decode.Opts
	ttl, wire      uint8
	scale          uint8 // and ECE and CWR << 4, and the checksum << 6
}

// isLone reports whether seg is a SYN that fits into a loneSYN.
func isLone(seg *decode.Segment) bool {
	file, frame := capture.SplitFrame(seg.Frame)
	return seg.Flags&^(decode.ECE|decode.CWR) == decode.SYN && seg.Len == 0 && seg.Context == 0 && seg.Checksum != decode.ChecksumBad &&
		!seg.NoWnd && !seg.Cut && !seg.Opts.Has(decode.OptSACK) && seg.HasIPID == (seg.IPID != 0) &&
		file < 64 && frame < 1<<34 && seg.Wire < 1<<8
}

// addLone keeps a connection of the segment alone, if that is a plain SYN.
func (s *shard) addLone(seg *decode.Segment, id uint64, hash uint32) (ref, bool) {
	src, ok := v4(&seg.Src)
	dst, ok2 := v4(&seg.Dst)
	n := id &^ provisional
	if !ok || !ok2 || n >= 1<<39 || !isLone(seg) {
		return noRef, false
	}
	st := &s.store
	at := st.lones.New()
	file, frame := capture.SplitFrame(seg.Frame)
	*st.lones.At(at) = loneSYN{
		time: seg.Time, src: src, dst: dst, seq: seg.Seq, tsVal: seg.TSVal, sp: seg.SrcPort, dp: seg.DstPort,
		frameLo: uint32(frame), frameHi: uint8(file<<2) | uint8(frame>>32), idLo: uint32(n), idHi: uint8(n>>32) | uint8(id>>63)<<7,
		wnd: seg.Wnd, ipID: seg.IPID, mss: seg.MSS, opts: seg.Opts, ttl: seg.TTL, wire: uint8(seg.Wire),
		scale: seg.Scale | uint8(seg.Flags&(decode.ECE|decode.CWR))>>2 | uint8(seg.Checksum)<<6,
	}
	if s.zeek.on {
		st.foreign.set(at, loneForeign{seg.Stream, seg.Headers})
	}
	r := loneRef | ref(at)
	s.keeps(id, r)
	st.table.Insert(hash, uint32(r))
	return r, true
}

// id returns the number of the SYN's connection; 0 if the record is free.
func (l *loneSYN) id() uint64 {
	return uint64(l.idHi>>7)<<63 | uint64(l.idHi&127)<<32 | uint64(l.idLo)
}

func (l *loneSYN) setID(id uint64) { l.idLo, l.idHi = uint32(id), uint8(id>>32) }

// key returns the key of the SYN's connection.
func (l *loneSYN) key() shortKey {
	if l.src > l.dst || l.src == l.dst && l.sp > l.dp {
		return shortKey{l.dst, l.src, l.dp, l.sp, 0}
	}
	return shortKey{l.src, l.dst, l.sp, l.dp, 0}
}

// segment returns the SYN.
func (l *loneSYN) segment() decode.Segment {
	const ecn = decode.ECE | decode.CWR
	return decode.Segment{
		Time: l.time, Frame: capture.JoinFrame(int(l.frameHi>>2), uint64(l.frameHi&3)<<32|uint64(l.frameLo)), Wire: uint32(l.wire),
		Src: v4Mapped(l.src), Dst: v4Mapped(l.dst), SrcPort: l.sp, DstPort: l.dp,
		Seq: l.seq, Wnd: l.wnd, Flags: decode.SYN | decode.Flags(l.scale<<2)&ecn, Checksum: decode.Checksum(l.scale >> 6),
		Opts: l.opts, MSS: l.mss, Scale: l.scale & 15, TSVal: l.tsVal, TTL: l.ttl, IPID: l.ipID, HasIPID: l.ipID != 0,
	}
}

// A loneForeign is what only other programs' words for a lone SYN need. It is kept
// if Config.History is set.
type loneForeign struct {
	stream  uint32
	headers uint16
}

// loneForeigns holds those of lone SYNs, by their number.
type loneForeigns []*[1 << 10]loneForeign

func (l *loneForeigns) set(lone uint32, f loneForeign) {
	n := uint32(len((*l)[0]))
	for uint32(len(*l)) <= lone/n {
		*l = append(*l, new([len((*l)[0])]loneForeign))
	}
	(*l)[lone/n][lone%n] = f
}

func (l loneForeigns) at(lone uint32) (f loneForeign) {
	if n := uint32(len(l[0])); lone/n < uint32(len(l)) {
		f = l[lone/n][lone%n]
	}
	return f
}

// lone returns the SYN that is kept at r, and its connection's number.
func (s *store) lone(r ref) (uint64, decode.Segment) {
	n := uint32(r &^ loneRef)
	l := s.lones.At(n)
	seg := l.segment()
	f := s.foreign.at(n)
	seg.Stream, seg.Headers = f.stream, f.headers
	return l.id(), seg
}

// loadLone returns the connection of the SYN that is kept at r. It is valid until
// another one is loaded, and changes to it are lost.
func (s *store) loadLone(r ref) *Conn {
	id, seg := s.lone(r)
	k := makeKey(&seg.Src, &seg.Dst, seg.SrcPort, seg.DstPort, 0)
	c := s.scratch
	s.blank = record{short: s.lones.At(uint32(r &^ loneRef)).key()}
	c.attach(&s.blank, r, &k, s.hash(&k))
	c.replay(id, &seg)
	return c
}

// replay makes c, which must be empty, the connection of a lone SYN.
func (c *Conn) replay(id uint64, seg *decode.Segment) {
	c.open(id, seg)
	c.notes, c.order, c.now = 0, 0, seg.Time
	snd, rcv := c.direction(seg)
	c.tally(snd, rcv, seg)
	c.segment(snd, rcv, seg)
	snd.noteSYN(seg.Time)
}

// v4 returns the IPv4 address in a; false if it is none.
func v4(a *decode.Addr) (ip uint32, ok bool) {
	return uint32(be64(a[8:])), be64(a[:8]) == 0 && be64(a[8:])>>32 == v4Prefix>>32
}

func v4Mapped(ip uint32) decode.Addr {
	return decode.Addr{10: 0xff, 11: 0xff, 12: byte(ip >> 24), 13: byte(ip >> 16), 14: byte(ip >> 8), 15: byte(ip)}
}
