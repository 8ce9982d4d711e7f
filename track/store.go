package track

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"

	"tcplife/decode"
	"tcplife/track/flowtable"
)

// A store keeps connections between segments, each in the smallest size that it
// fits (see smallConn), and finds the newest incarnation of a key.
//
// A connection that is looked at is a Conn: the very one, if it is kept whole, or
// else the store's scratch one, unpacked. There is one scratch Conn, so that only
// one small connection can be looked at at a time; what is needed beyond that is
// made whole first.
type store struct {
	table  flowtable.Table
	seed   [2]uint64
	whole  []*Conn // by number; nil where free
	free   []uint32
	spare  []*Conn // to be used again
	smalls flowtable.Arena[smallConn]
	lones  flowtable.Arena[loneSYN]

	scratch *Conn
	hands   [3]int    // where eviction goes on, by size
	small   smallConn // a place to pack into
}

// A ref says where a connection is kept: its size in the upper two bits, its
// number there below.
type ref uint32

const (
	wholeRef ref = iota << 30
	smallRef
	loneRef
	noRef ref = 1<<32 - 1 // not kept yet

	refNumber = 1<<30 - 1
)

func newStore() store {
	return store{seed: [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}, scratch: newConn()}
}

// newConn returns an empty Conn with room for the moves of a common life.
func newConn() *Conn {
	c := &Conn{ref: noRef}
	for i := range c.ends {
		c.ends[i].hist = make([]Transition, 0, maxSmallMoves+1)
	}
	return c
}

// recycle makes c empty, but for memory it holds.
func (c *Conn) recycle() {
	h0, h1 := c.ends[0].hist[:0], c.ends[1].hist[:0]
	held, holes, withdrawals, candidates, answer := c.held[:0], c.holes[:0], c.withdrawals[:0], c.candidates[:0], c.answer[:0]
	refuted, blind := c.refuted[:0], c.blind[:0]
	*c = Conn{}
	c.ref = noRef
	c.ends[0].hist, c.ends[1].hist = h0, h1
	c.held, c.holes, c.withdrawals, c.candidates, c.answer = held, holes, withdrawals, candidates, answer
	c.refuted, c.blind = refuted, blind
}

// A key names a pair of addresses and ports, the lower first, in one
// encapsulation.
type key struct {
	a, b    decode.Addr
	ap, bp  uint16
	context uint32
}

func makeKey(src, dst *decode.Addr, sp, dp uint16, context uint32) key {
	s, d := be64(src[:8]), be64(dst[:8])
	if s == d {
		s, d = be64(src[8:]), be64(dst[8:])
	}
	if s < d || s == d && sp <= dp {
		return key{*src, *dst, sp, dp, context}
	}
	return key{*dst, *src, dp, sp, context}
}

func be64(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// hash mixes the key with the store's seed: strangers choose the keys.
func (s *store) hash(k *key) uint32 {
	mix := func(a, b uint64) uint64 { hi, lo := bits.Mul64(a, b); return hi ^ lo }
	h := mix(be64(k.a[:8])^s.seed[0], be64(k.a[8:])^s.seed[1])
	h = mix(h^be64(k.b[:8]), be64(k.b[8:])^s.seed[0])
	h = mix(h^uint64(k.ap)<<48^uint64(k.bp)<<32^uint64(k.context), s.seed[1])
	return uint32(h ^ h>>32)
}

// find returns where the newest incarnation of k is kept; false if there is none.
func (s *store) find(k *key, hash uint32) (ref, bool) {
	for p := s.table.Find(hash); ; {
		n, ok := p.Next()
		if !ok {
			return noRef, false
		}
		if r := ref(n); s.has(r, k) {
			return r, true
		}
	}
}

func (s *store) has(r ref, k *key) bool {
	switch n := uint32(r & refNumber); r &^ refNumber {
	case smallRef:
		return s.smalls.At(n).key == *k
	case loneRef:
		l := s.lones.At(n)
		src, dst := v4Mapped(l.src), v4Mapped(l.dst)
		return makeKey(&src, &dst, l.sp, l.dp, 0) == *k
	default:
		return s.whole[n].key == *k
	}
}

// at returns the whole connection at r, or nil if it is kept small.
func (s *store) at(r ref) *Conn {
	if r&^refNumber == wholeRef {
		return s.whole[r]
	}
	return nil
}

// addWhole keeps c as it is, under a number of its own.
func (s *store) addWhole(c *Conn) {
	if n := len(s.free); n > 0 {
		c.ref = ref(s.free[n-1])
		s.free = s.free[:n-1]
		s.whole[c.ref] = c
		return
	}
	c.ref = ref(len(s.whole))
	s.whole = append(s.whole, c)
}

// newWhole returns an empty Conn that is not the scratch one.
func (s *store) newWhole() *Conn {
	if n := len(s.spare); n > 0 {
		c := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return c
	}
	return newConn()
}

// maxSpare bounds the empty whole connections that are held ready.
const maxSpare = 1 << 10

// drop frees the place where r is kept, not its entry in the table.
func (s *store) drop(r ref) {
	switch n := uint32(r & refNumber); r &^ refNumber {
	case smallRef:
		s.smalls.Free(n)
	case loneRef:
		s.lones.Free(n)
	default:
		c := s.whole[n]
		s.whole[n] = nil
		s.free = append(s.free, n)
		if len(s.spare) < maxSpare {
			c.recycle()
			s.spare = append(s.spare, c)
		}
	}
}

// all returns where every connection is kept, in order of ID.
func (s *store) all() []ref {
	type entry struct {
		id uint64
		r  ref
	}
	var l []entry
	for i := range s.lones.Cap() {
		if n := uint32(i); s.lones.At(n).id != 0 {
			l = append(l, entry{s.lones.At(n).id, loneRef | ref(n)})
		}
	}
	for i := range s.smalls.Cap() {
		if n := uint32(i); s.smalls.At(n).id != 0 {
			l = append(l, entry{s.smalls.At(n).id, smallRef | ref(n)})
		}
	}
	for i, c := range s.whole {
		if c != nil {
			l = append(l, entry{c.ID, ref(i)})
		}
	}
	slices.SortFunc(l, func(a, b entry) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	refs := make([]ref, len(l))
	for i := range l {
		refs[i] = l[i].r
	}
	return refs
}
