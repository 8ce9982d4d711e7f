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
		s.zeek.bytes()
	for _, k := range st.kinds() {
		n += k.size * k.cap
	}
	return n
}

// makeRoom evicts connections if they take more memory than they may: of each
// size that has hardly a place left and would have to grow.
func (s *shard) makeRoom() {
	if s.opened++; s.limit == 0 || s.opened%(evictBatch/4) != 0 || s.bytes() < s.limit {
		return
	}
	for _, k := range s.store.kinds() {
		if k.cap-k.inUse < evictBatch && k.inUse >= 2*evictBatch {
			s.evict(k)
		}
	}
}

// maxPassed bounds how many batches are looked at for connections that are not
// proved, before others have to go.
const maxPassed = 8

// A candidate for eviction. Those that are not proved go first, then those that
// are idle for longest.
type evictable struct {
	at     ref
	proved bool
	active capture.Time
}

// evict closes the records of the first half of the next evictBatch connections of
// that size, or fewer: as long as some are not proved, no other goes. A flood's
// connections come to life with every SYN,ACK that their server repeats, and
// those of honest clients, which it must not push out, may be idle for hours.
func (s *shard) evict(k kind) {
	for passed := 0; ; passed++ {
		batch := s.evictables(k)
		slices.SortStableFunc(batch, func(a, b evictable) int {
			return cmp.Or(cmp.Compare(order(a.proved), order(b.proved)), cmp.Compare(a.active, b.active))
		})
		batch = batch[:len(batch)/2]
		if passed < maxPassed {
			batch = slices.DeleteFunc(batch, func(e evictable) bool { return e.proved })
		}
		for _, e := range batch {
			if !s.store.used(e.at) {
				continue // finished with a newer incarnation
			}
			c := s.load(e.at)
			s.expire(c)
			c.evicted = true
			s.finish(c)
		}
		if len(batch) > 0 {
			return
		}
	}
}

func order(later bool) int {
	if later {
		return 1
	}
	return 0
}

// evictables returns the next evictBatch connections of that size.
func (s *shard) evictables(k kind) []evictable {
	s.evictions = s.evictions[:0]
	for len(s.evictions) < evictBatch {
		if *k.hand++; *k.hand >= k.cap {
			*k.hand = 0
		}
		r := k.at(*k.hand)
		if r == noRef {
			continue
		}
		e := evictable{at: r}
		if r&loneRef != 0 {
			e.active = s.store.lones.At(uint32(r &^ loneRef)).time
		} else {
			c := s.store.load(r, &key{}, 0) // whose key does not matter here
			e.active, e.proved = c.End(), c.proved()
		}
		s.evictions = append(s.evictions, e)
	}
	return s.evictions
}

// proved reports whether both ends have shown that they are there: one that forges
// the addresses of SYNs does not see what they are answered.
func (c *Conn) proved() bool {
	switch c.Handshake() {
	case Unanswered, Refused, HalfOpen:
		return false
	}
	return c.ends[0].packets > 0 && c.ends[1].packets > 0
}

// used reports whether a connection is kept at r.
func (s *store) used(r ref) bool {
	if r&loneRef != 0 {
		return s.lones.At(uint32(r&^loneRef)).id() != 0
	}
	return s.records.At(uint32(r)).ID != 0
}
