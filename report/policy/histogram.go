package policy

import (
	"math/bits"
	"slices"
	"time"
)

// A histogram counts durations in buckets that are no wider than 1/128 of them, so
// that its memory depends on how far they differ and not on how many there are.
type histogram struct {
	buckets map[int]uint64
	n       uint64
	longest time.Duration
}

// subBits is how many bits of a duration are kept behind its highest.
const subBits = 7

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := bits.Len64(v) - subBits - 1
	if shift <= 0 {
		return int(v)
	}
	return shift<<subBits + int(v>>shift)
}

// bucketEnd returns the longest duration in a bucket.
func bucketEnd(b int) time.Duration {
	if b < 1<<(subBits+1) {
		return time.Duration(b)
	}
	shift := b>>subBits - 1
	v := uint64(b - shift<<subBits)
	return time.Duration((v+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	if h.buckets == nil {
		h.buckets = make(map[int]uint64)
	}
	h.buckets[bucketOf(d)]++
	h.n++
	h.longest = max(h.longest, d)
}

// quantile returns the nearest-rank quantile, in thousandths, at most 0.8 % too
// long; 0 if nothing was counted.
func (h *histogram) quantile(thousandths int) time.Duration {
	rank := (h.n*uint64(thousandths) + 999) / 1000
	var seen uint64
	for _, b := range h.sorted() {
		if seen += h.buckets[b]; seen >= rank {
			return min(bucketEnd(b), h.longest)
		}
	}
	return h.longest
}

// beyond returns how many are longer, or in a bucket that has longer ones.
func (h *histogram) beyond(d time.Duration) (n uint64) {
	for b, k := range h.buckets {
		if bucketEnd(b) > d {
			n += k
		}
	}
	return n
}

// sorted returns the buckets that hold anything, the shortest first.
func (h *histogram) sorted() []int {
	list := make([]int, 0, len(h.buckets))
	for b := range h.buckets {
		list = append(list, b)
	}
	slices.Sort(list)
	return list
}
