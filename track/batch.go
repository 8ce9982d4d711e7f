package track

import (
	"unsafe"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// batchSize is how many segments are looked up together. Each needs a slot of the
// table and then a record, far apart in memory: fetched one by one, the waiting
// for them takes more time than all the rest; together, the waits overlap. 64
// records are as much as the first-level cache holds.
const batchSize = 64

// A batch holds segments, and clock ticks among them, that are yet to be taken.
type batch struct {
	n     int
	items [batchSize]batched
	sink  uint32 // keeps the touching from being optimized away
}

type batched struct {
	seg  decode.Segment // of a tick, time and frame only
	key  key
	hash uint32
	ref  uint32
	tick bool
	near bool // ref is valid: the first reference of the hash's slot
}

// Add takes a segment as Segment does, but later, at the latest when Flush is
// called: it is for captures, where many are at hand.
func (t *Tracker) Add(seg *decode.Segment) {
	b := &t.batch.items[t.batch.n]
	b.seg, b.tick = *seg, false
	b.key = t.keyOf(seg)
	b.hash = t.store.hash(&b.key)
	t.added()
}

// AddTick takes a clock tick as Tick does, in its place among the segments that
// were added.
func (t *Tracker) AddTick(now capture.Time, frame uint64) {
	b := &t.batch.items[t.batch.n]
	b.seg.Time, b.seg.Frame, b.tick = now, frame, true
	t.added()
}

func (t *Tracker) added() {
	if t.batch.n++; t.batch.n == batchSize {
		t.Flush()
	}
}

// Flush takes what was added.
func (t *Tracker) Flush() {
	items := t.batch.items[:t.batch.n]
	t.batch.n = 0
	for i := range items {
		if b := &items[i]; !b.tick {
			b.ref, b.near = t.store.table.Touch(b.hash)
		}
	}
	for i := range items {
		if b := &items[i]; !b.tick && b.near {
			t.batch.sink += t.store.touch(ref(b.ref))
		}
	}
	for i := range items {
		if b := &items[i]; b.tick {
			t.Tick(b.seg.Time, b.seg.Frame)
		} else {
			t.take(&b.seg, &b.key, b.hash)
		}
	}
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
