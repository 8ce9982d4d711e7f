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
	known []stream // an open hash table by key, of a power of two, at most half full: a map takes three times as long
	n     int      // in use
	next  uint32
}

// A stream is the latest of one pair of addresses and ports.
type stream struct {
	key    uint64 // hash of addresses and ports: strangers don't know the seed. 0: not in use
	number uint32
	base   [2]uint32 // what each end began with, that of the lower address first
	begun  [2]bool   // base is valid
}

// maxStreams bounds the memory for streams, at 48 octets each, or 96 after the table grew.
const maxStreams = 1 << 22

// NewStreams returns the Streams of a file.
func NewStreams() *Streams {
	return &Streams{seed: maphash.MakeSeed(), known: make([]stream, 16)}
}

// Segment returns the number of the stream that s belongs to. It reports false for
// one of more streams than are followed.
func (t *Streams) Segment(s *Segment) (uint32, bool) {
	key, from := t.key(&s.Src, &s.Dst, s.SrcPort, s.DstPort)
	st := t.at(key)
	if st.key == 0 {
		if st = t.begin(key); st == nil {
			return 0, false
		}
	} else if s.Flags&(SYN|ACK) == SYN && st.begun[from] && st.base[from] != s.Seq {
		*st = stream{key: key, number: t.next}
		t.next++
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
	return st.number, true
}

// ICMP takes an ICMP error. The segment that it quotes begins a stream, if there is
// none.
func (t *Streams) ICMP(e *ICMPError) {
	key, _ := t.key(&e.Src, &e.Dst, e.SrcPort, e.DstPort)
	if t.at(key).key == 0 {
		t.begin(key)
	}
}

// at returns the place of a key: its own, or one that is not in use.
func (t *Streams) at(key uint64) *stream {
	mask := len(t.known) - 1
	for i := int(key) & mask; ; i = (i + 1) & mask {
		if st := &t.known[i]; st.key == key || st.key == 0 {
			return st
		}
	}
}

// begin makes a stream of a key that has none, unless there are too many.
func (t *Streams) begin(key uint64) *stream {
	if t.n == maxStreams {
		return nil
	}
	if t.n++; 2*t.n > len(t.known) {
		old := t.known
		t.known = make([]stream, 2*len(old))
		for i := range old {
			if old[i].key != 0 {
				*t.at(old[i].key) = old[i]
			}
		}
	}
	st := t.at(key)
	*st = stream{key: key, number: t.next}
	t.next++
	return st
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
	return max(maphash.Comparable(t.seed, pair), 1), from
}
