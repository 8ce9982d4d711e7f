package decode

import "hash/maphash"

// Streams numbers the TCP streams of one file as Wireshark does (tcp.stream), from
// 0 in the order of their first packets. It has to be shown every segment and every
// ICMP error of the file, in the file's order.
//
// A stream is not a connection: a pair of addresses and ports, whatever carries
// it, stays one until a SYN comes with another sequence number than its sender
// began with. That is Wireshark 4.0's rule.
type Streams struct {
	seed  maphash.Seed
	known map[uint64]stream // by hash of addresses and ports: strangers don't know the seed
	next  uint32
}

// A stream is the latest of one pair of addresses and ports.
type stream struct {
	number uint32
	base   [2]uint32 // what each end began with, that of the lower address first
	begun  [2]bool   // base is valid
}

// maxStreams bounds the memory for streams, at about 45 octets each.
const maxStreams = 1 << 22

// NewStreams returns the Streams of a file.
func NewStreams() *Streams {
	return &Streams{seed: maphash.MakeSeed(), known: map[uint64]stream{}}
}

// Segment returns the number of the stream that s belongs to. It reports false for
// one of more streams than are followed.
func (t *Streams) Segment(s *Segment) (uint32, bool) {
	key, from := t.key(&s.Src, &s.Dst, s.SrcPort, s.DstPort)
	st, ok := t.known[key]
	if !ok || s.Flags&(SYN|ACK) == SYN && st.begun[from] && st.base[from] != s.Seq {
		if st, ok = t.begin(ok); !ok {
			return 0, false
		}
	} else if st.begun[0] && st.begun[1] {
		return st.number, true
	}
	if !st.begun[from] {
		st.base[from], st.begun[from] = s.Seq, true
		if !s.Flags.Has(SYN) {
			st.base[from]--
		}
	}
	if !st.begun[1-from] && s.Flags.Has(ACK) {
		st.base[1-from], st.begun[1-from] = s.Ack-1, true
	}
	t.known[key] = st
	return st.number, true
}

// ICMP takes an ICMP error. The segment that it quotes begins a stream, if there is
// none.
func (t *Streams) ICMP(e *ICMPError) {
	key, _ := t.key(&e.Src, &e.Dst, e.SrcPort, e.DstPort)
	if _, ok := t.known[key]; ok {
		return
	}
	if st, ok := t.begin(false); ok {
		t.known[key] = st
	}
}

// begin returns a new stream, unless there are too many. again says that it takes
// the place of another.
func (t *Streams) begin(again bool) (stream, bool) {
	if !again && len(t.known) == maxStreams {
		return stream{}, false
	}
	t.next++
	return stream{number: t.next - 1}, true
}

// key returns what addresses and ports are known by, and which of the two ends the
// source is.
func (t *Streams) key(src, dst *Addr, sp, dp uint16) (key uint64, from int) {
	pair := struct {
		a, b   Addr
		ap, bp uint16
	}{*src, *dst, sp, dp}
	if string(src[:]) > string(dst[:]) || *src == *dst && sp > dp {
		pair.a, pair.b, pair.ap, pair.bp = pair.b, pair.a, pair.bp, pair.ap
		from = 1
	}
	return maphash.Comparable(t.seed, pair), from
}
