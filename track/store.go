package track

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"unsafe"

	"tcplife/decode"
	"tcplife/track/flowtable"
)

// A store keeps connections between segments, and finds the newest incarnation of
// a key.
//
// A connection that is looked at is a Conn: its own, if it has one, or else the
// store's scratch one, around its record. There is one scratch Conn, so that only
// one connection without its own can be looked at at a time; what is needed
// beyond that is given its own first.
type store struct {
	table   flowtable.Table
	seed    [2]uint64
	records flowtable.Arena[record]
	lones   flowtable.Arena[loneSYN]
	pairs   flowtable.Arena[[2]decode.Addr] // of IPv6
	conns   []*Conn                         // by record.kept - 1; nil where free
	free    []uint32                        // in conns
	spare   []*Conn                         // to be used again

	scratch *Conn
	ending  bool   // everything is to be forgotten
	blank   record // for a lone SYN that is looked at
	foreign loneForeigns
	hands   [3]int // where eviction goes on, of each kind
}

// A ref says where a connection is kept: the number of its record, or with
// loneRef of its loneSYN.
type ref uint32

const (
	loneRef ref = 1 << 31
	noRef   ref = 1<<32 - 1
)

func newStore() store {
	return store{scratch: newConn()}
}

func newConn() *Conn {
	c := new(Conn)
	for i := range c.ends {
		c.ends[i].c, c.ends[i].i = c, uint8(i)
	}
	return c
}

// attach makes c the connection whose record is r, kept at ref.
func (c *Conn) attach(r *record, at ref, k *key, hash uint32) {
	c.record, c.ref, c.key, c.hash = r, at, *k, hash
	c.ends[0].endRecord, c.ends[1].endRecord = &r.ends[0], &r.ends[1]
	c.EndReason, c.told = 0, nil
}

// recycle makes c empty, but for memory that it holds.
func (c *Conn) recycle() {
	more, held, holes, withdrawals, candidates, answer := c.more[:0], c.held[:0], c.holes[:0], c.withdrawals[:0], c.candidates[:0], c.answer[:0]
	refuted, blind := c.refuted[:0], c.blind[:0]
	c.rareConn = rareConn{refuted: refuted, blind: blind, more: more, held: held, holes: holes, withdrawals: withdrawals, candidates: candidates, answer: answer}
	for i := range c.ends {
		e := &c.ends[i]
		e.rareEnd, e.endRecord = rareEnd{}, nil
	}
	c.record, c.ref = nil, noRef
}

// newConn returns a connection with a record of its own, both empty, for the key.
// It is not in the table.
func (s *store) newConn(k key, hash uint32) *Conn {
	c := s.scratch
	n := s.records.New()
	r := s.records.At(n)
	c.attach(r, ref(n), &k, hash)
	r.short = shortKey{ap: k.ap, bp: k.bp, context: k.context}
	a, ok := v4(&k.a)
	b, ok2 := v4(&k.b)
	if ok && ok2 {
		r.short.a, r.short.b = a, b
	} else {
		r.v6 = true
		r.short.a = s.pairs.New()
		*s.pairs.At(r.short.a) = [2]decode.Addr{k.a, k.b}
	}
	return c
}

// key returns the key of a record.
func (s *store) key(r *record) key {
	k := key{ap: r.short.ap, bp: r.short.bp, context: r.short.context}
	if r.v6 {
		p := s.pairs.At(r.short.a)
		k.a, k.b = p[0], p[1]
	} else {
		k.a, k.b = v4Mapped(r.short.a), v4Mapped(r.short.b)
	}
	return k
}

// load returns the connection whose record is at r.
func (s *store) load(r ref, k *key, hash uint32) *Conn {
	rec := s.records.At(uint32(r))
	if rec.kept != 0 {
		return s.conns[rec.kept-1]
	}
	s.scratch.attach(rec, r, k, hash)
	return s.scratch
}

// conn returns the Conn that the connection at r has of its own, or nil.
func (s *store) conn(r ref) *Conn {
	if n := s.records.At(uint32(r)).kept; n != 0 {
		return s.conns[n-1]
	}
	return nil
}

// save gives c a Conn of its own if it needs one, and takes it away if not.
func (s *store) save(c *Conn) {
	switch plain := c.Plain(); {
	case !plain:
		s.keep(c)
	case c != s.scratch:
		s.unkeep(c)
	}
}

// keep makes c, if it is the scratch Conn, the connection's own.
func (s *store) keep(c *Conn) {
	if c.kept != 0 {
		return
	}
	if n := len(s.free); n > 0 {
		c.kept = s.free[n-1] + 1
		s.free = s.free[:n-1]
		s.conns[c.kept-1] = c
	} else {
		s.conns = append(s.conns, c)
		c.kept = uint32(len(s.conns))
	}
	if n := len(s.spare); n > 0 {
		s.scratch = s.spare[n-1]
		s.spare = s.spare[:n-1]
	} else {
		s.scratch = newConn()
	}
}

// maxSpare bounds the empty Conns that are held ready.
const maxSpare = 1 << 10

// unkeep frees the connection's own Conn, c.
func (s *store) unkeep(c *Conn) {
	n := c.kept - 1
	c.kept = 0
	s.conns[n] = nil
	s.free = append(s.free, n)
	c.recycle()
	if len(s.spare) < maxSpare {
		s.spare = append(s.spare, c)
	}
}

// drop forgets c, of which nothing is rare. It does not look at the table.
func (s *store) drop(c *Conn) {
	s.forget(c)
	if c != s.scratch {
		c.recycle()
		s.spare = append(s.spare, c)
	}
}

// reclaim takes back the Conns that were left to the caller.
func (s *store) reclaim(l []ended) {
	for i := range l {
		if c := l[i].conn; c != nil && len(s.spare) < maxSpare {
			c.recycle()
			s.spare = append(s.spare, c)
		}
		l[i].conn = nil
	}
}

// forget frees the places where c is kept, but for its own Conn. When all are
// forgotten, that is left to clear.
func (s *store) forget(c *Conn) {
	if s.ending {
		c.kept, c.record = 0, nil
		return
	}
	if c.kept != 0 {
		s.conns[c.kept-1] = nil
		s.free = append(s.free, c.kept-1)
		c.kept = 0
	}
	switch {
	case c.ref&loneRef != 0:
		s.lones.Free(uint32(c.ref &^ loneRef))
	default:
		if c.v6 {
			s.pairs.Free(c.short.a)
		}
		s.records.Free(uint32(c.ref))
	}
	c.record = nil
}

// touchSome loads the records of the next refs from number i on into the cache, a
// chunk at a time.
func (s *store) touchSome(refs []ref, i int) (sum uint32) {
	if i%chunkSize != 0 {
		return 0
	}
	for _, r := range refs[i:min(i+chunkSize, len(refs))] {
		sum += s.touch(r)
	}
	return sum
}

// clear forgets everything.
func (s *store) clear() {
	s.table, s.records, s.lones, s.pairs = flowtable.Table{}, flowtable.Arena[record]{}, flowtable.Arena[loneSYN]{}, flowtable.Arena[[2]decode.Addr]{}
	s.conns, s.free, s.foreign, s.hands, s.ending = nil, nil, nil, [3]int{}, false
}

// touch loads the record at r into the cache.
func (s *store) touch(r ref) uint32 {
	if r&loneRef != 0 {
		return s.lones.At(uint32(r &^ loneRef)).seq
	}
	return s.records.At(uint32(r)).touch()
}

// touch reads from each cache line of the record.
func (r *record) touch() (sum uint32) {
	const line, size = 64, unsafe.Sizeof(record{})
	for at := uintptr(0); at < size; at += line {
		sum += *(*uint32)(unsafe.Add(unsafe.Pointer(r), at))
	}
	return sum + *(*uint32)(unsafe.Add(unsafe.Pointer(r), size-4))
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

func newSeed() [2]uint64 { return [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1} }

// hash mixes the key with a seed: strangers choose the keys. The upper half chooses
// the shard, the lower is for the shard's table.
func hash(k *key, seed *[2]uint64) uint64 {
	h := mix(be64(k.a[:8])^seed[0], be64(k.a[8:])^seed[1])
	h = mix(h^be64(k.b[:8]), be64(k.b[8:])^seed[0])
	return mix(h^uint64(k.ap)<<48^uint64(k.bp)<<32^uint64(k.context), seed[1])
}

func mix(a, b uint64) uint64 { hi, lo := bits.Mul64(a, b); return hi ^ lo }

func (s *store) hash(k *key) uint32 { return uint32(hash(k, &s.seed)) }

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
	if r&loneRef != 0 {
		return k.is(s.lones.At(uint32(r &^ loneRef)).key())
	}
	rec := s.records.At(uint32(r))
	if rec.v6 {
		p := s.pairs.At(rec.short.a)
		return rec.short.ap == k.ap && rec.short.bp == k.bp && rec.short.context == k.context && p[0] == k.a && p[1] == k.b
	}
	return k.is(rec.short)
}

// is reports whether k is the IPv4 key s.
func (k *key) is(s shortKey) bool {
	return s.ap == k.ap && s.bp == k.bp && s.context == k.context &&
		be64(k.a[8:]) == v4Prefix|uint64(s.a) && be64(k.b[8:]) == v4Prefix|uint64(s.b) && be64(k.a[:8])|be64(k.b[:8]) == 0
}

// v4Prefix is the middle of an IPv4-mapped address.
const v4Prefix = 0xffff << 32

// all returns where every connection is kept, in order of ID.
func (s *store) all() []ref {
	var lones []ref
	for i := range s.lones.Cap() {
		if s.lones.At(uint32(i)).id() != 0 {
			lones = append(lones, loneRef|ref(i))
		}
	}
	if byID := func(a, b ref) int { return cmp.Compare(s.id(a), s.id(b)) }; !slices.IsSortedFunc(lones, byID) {
		slices.SortFunc(lones, byID)
	}
	if s.records.Len() == 0 {
		return lones
	}
	// Records are far apart: they are looked at once.
	type entry struct {
		id uint64
		at ref
	}
	records := make([]entry, 0, s.records.Len())
	for i := range s.records.Cap() {
		if id := s.records.At(uint32(i)).ID; id != 0 {
			records = append(records, entry{id, ref(i)})
		}
	}
	slices.SortFunc(records, func(a, b entry) int { return cmp.Compare(a.id, b.id) })
	refs := make([]ref, 0, len(lones)+len(records))
	for _, l := range lones {
		for id := s.id(l); len(records) > 0 && records[0].id < id; records = records[1:] {
			refs = append(refs, records[0].at)
		}
		refs = append(refs, l)
	}
	for _, r := range records {
		refs = append(refs, r.at)
	}
	return refs
}

func (s *store) id(r ref) uint64 {
	if r&loneRef != 0 {
		return s.lones.At(uint32(r &^ loneRef)).id()
	}
	return s.records.At(uint32(r)).ID
}
