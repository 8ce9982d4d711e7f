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

// A kind is one of the sizes that connections are kept in, seen as a ring that
// eviction goes around.
type kind struct {
	ref   ref  // of its number 0
	size  int  // of one, in octets
	cap   int  // numbers, in use or not
	inUse int  //
	hand  *int // where eviction goes on
}

func (s *store) kinds() [3]kind {
	return [3]kind{
		{wholeRef, wholeSize, len(s.whole), len(s.whole) - len(s.free), &s.hands[0]},
		{smallRef, int(unsafe.Sizeof(smallConn{})), s.smalls.Cap(), s.smalls.Len(), &s.hands[1]},
		{loneRef, int(unsafe.Sizeof(loneSYN{})), s.lones.Cap(), s.lones.Len(), &s.hands[2]},
	}
}

// wholeSize is what a whole connection takes with the moves of its ends, and a
// few segments that wait.
const wholeSize = int(unsafe.Sizeof(Conn{})) + 2*(maxSmallMoves+1)*int(unsafe.Sizeof(Transition{})) + 1024

// Bytes returns about how much memory the connections take.
func (t *Tracker) Bytes() int {
	n := t.store.table.Bytes() + 4*len(t.over.items)
	for _, k := range t.store.kinds() {
		n += k.size * k.cap
	}
	return n
}

// makeRoom evicts connections if they take more memory than they may: of each
// size that has hardly a place left and would have to grow.
func (t *Tracker) makeRoom() {
	if t.limit == 0 || t.Bytes() < t.limit {
		return
	}
	for _, k := range t.store.kinds() {
		if k.cap-k.inUse < evictBatch && k.inUse >= 2*evictBatch {
			t.evict(k)
		}
	}
}

// evict closes the records of the longer idle half of the next evictBatch
// connections of that size.
func (t *Tracker) evict(k kind) {
	var refs [evictBatch]ref
	seen := refs[:0]
	for len(seen) < evictBatch {
		if *k.hand++; *k.hand >= k.cap {
			*k.hand = 0
		}
		if r := k.ref | ref(*k.hand); t.store.used(r) {
			seen = append(seen, r)
		}
	}
	slices.SortStableFunc(seen, func(a, b ref) int { return cmp.Compare(t.store.lastActive(a), t.store.lastActive(b)) })
	for _, r := range seen[:len(seen)/2] {
		if !t.store.used(r) {
			continue // finished with a newer incarnation
		}
		c := t.load(r)
		t.expire(c)
		c.evicted = true
		t.finish(c)
	}
}

// used reports whether a connection is kept at r.
func (s *store) used(r ref) bool {
	switch n := uint32(r & refNumber); r &^ refNumber {
	case smallRef:
		return s.smalls.At(n).id != 0
	case loneRef:
		return s.lones.At(n).id != 0
	default:
		return s.whole[n] != nil
	}
}

// lastActive returns when the connection at r had its last segment.
func (s *store) lastActive(r ref) capture.Time {
	switch n := uint32(r & refNumber); r &^ refNumber {
	case smallRef:
		c := s.smalls.At(n)
		last := &c.ends[0]
		if c.flags&smallLastIsSecond != 0 {
			last = &c.ends[1]
		}
		at, _ := last.at(smallSent, c)
		return at
	case loneRef:
		return s.lones.At(n).time
	default:
		return s.whole[n].end
	}
}
