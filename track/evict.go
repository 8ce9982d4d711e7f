package track

import (
	"cmp"
	"slices"
	"unsafe"

	"tcplife/decode/capture"
)

// evictBatch is how many connections are compared when room is made; the longer
// idle half of them goes. Exact order of idleness would cost every connection a
// place in a list, and every segment two cache misses.
const evictBatch = 64

// A kind is one of the ways that connections are kept, seen as a ring that
// eviction goes around.
type kind struct {
	size  int           // of one, in octets
	cap   int           // places, in use or not
	inUse int           //
	hand  *int          // where eviction goes on
	at    func(int) ref // what is kept at a place; noRef: nothing
}

func (s *store) kinds() [3]kind {
	return [3]kind{
		{int(unsafe.Sizeof(record{})), s.records.Cap(), s.records.Len(), &s.hands[0], func(i int) ref {
			return cond(s.records.At(uint32(i)).ID != 0, ref(i), noRef)
		}},
		{int(unsafe.Sizeof(loneSYN{})), s.lones.Cap(), s.lones.Len(), &s.hands[1], func(i int) ref {
			return cond(s.lones.At(uint32(i)).id() != 0, loneRef|ref(i), noRef)
		}},
		{connSize, len(s.conns), len(s.conns) - len(s.free), &s.hands[2], func(i int) ref {
			if c := s.conns[i]; c != nil {
				return c.ref
			}
			return noRef
		}},
	}
}

// connSize is what a Conn takes, with a few segments that wait.
const connSize = int(unsafe.Sizeof(Conn{})) + 1024

// Bytes returns about how much memory the connections take.
func (t *Tracker) Bytes() int {
	t.Flush()
	n := 0
	for _, s := range t.shards {
		n += s.bytes()
	}
	return n
}

func (s *shard) bytes() int {
	st := &s.store
	n := st.table.Bytes() + 4*len(s.over.items) + 32*st.pairs.Cap() + len(st.foreign)*int(unsafe.Sizeof(*loneForeigns{}[0])) +
		s.zeek.conns.Cap()*int(unsafe.Sizeof(zeekConn{}))
	for _, k := range st.kinds() {
		n += k.size * k.cap
	}
	return n
}

// makeRoom evicts connections if they take more memory than they may: of each
// size that has hardly a place left and would have to grow.
func (s *shard) makeRoom() {
	if s.limit == 0 || s.bytes() < s.limit {
		return
	}
	for _, k := range s.store.kinds() {
		if k.cap-k.inUse < evictBatch && k.inUse >= 2*evictBatch {
			s.evict(k)
		}
	}
}

// evict closes the records of the longer idle half of the next evictBatch
// connections of that size.
func (s *shard) evict(k kind) {
	var refs [evictBatch]ref
	seen := refs[:0]
	for len(seen) < evictBatch {
		if *k.hand++; *k.hand >= k.cap {
			*k.hand = 0
		}
		if r := k.at(*k.hand); r != noRef {
			seen = append(seen, r)
		}
	}
	slices.SortStableFunc(seen, func(a, b ref) int { return cmp.Compare(s.store.lastActive(a), s.store.lastActive(b)) })
	for _, r := range seen[:len(seen)/2] {
		if !s.store.used(r) {
			continue // finished with a newer incarnation
		}
		c := s.load(r)
		s.expire(c)
		c.evicted = true
		s.finish(c)
	}
}

// used reports whether a connection is kept at r.
func (s *store) used(r ref) bool {
	if r&loneRef != 0 {
		return s.lones.At(uint32(r&^loneRef)).id() != 0
	}
	return s.records.At(uint32(r)).ID != 0
}

// lastActive returns when the connection at r had its last segment.
func (s *store) lastActive(r ref) capture.Time {
	if r&loneRef != 0 {
		return s.lones.At(uint32(r &^ loneRef)).time
	}
	k := key{} // which does not matter here
	return s.load(r, &k, 0).End()
}
