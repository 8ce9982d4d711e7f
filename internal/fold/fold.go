// Package fold keeps the heaviest of any number of values in bounded memory: what
// a user is told of millions of servers or sources is the most important thousand.
package fold

import (
	"cmp"
	"slices"
)

// A Map is a map of bounded size. When it holds twice its limit, the lighter half
// is dropped and only its weight is kept, so an attacker's million of ports
// cannot push out the server that has a thousand connections. New makes one.
type Map[K comparable, V any] struct {
	m       map[K]*entry[K, V]
	limit   int
	weight  func(*V) uint64
	dropped uint64 // weight of what was left out
	n       uint64 // entries ever made
}

// New returns a Map that keeps at least the limit's heaviest values.
func New[K comparable, V any](limit int, weight func(*V) uint64) Map[K, V] {
	return Map[K, V]{m: make(map[K]*entry[K, V]), limit: limit, weight: weight}
}

type entry[K comparable, V any] struct {
	V   V
	key K
	seq uint64 // among equals the first stay
}

// At returns the value of k, which is new and zero if k was not there.
func (f *Map[K, V]) At(k K) *V {
	if e, ok := f.m[k]; ok {
		return &e.V
	}
	if len(f.m) >= 2*f.limit {
		f.prune()
	}
	f.n++
	e := &entry[K, V]{key: k, seq: f.n}
	f.m[k] = e
	return &e.V
}

// Has returns the value of k, nil if it is not there.
func (f *Map[K, V]) Has(k K) *V {
	if e, ok := f.m[k]; ok {
		return &e.V
	}
	return nil
}

// Len returns how many values there are.
func (f *Map[K, V]) Len() int { return len(f.m) }

// All calls do with every value, in the order in which they were made.
func (f *Map[K, V]) All(do func(K, *V)) {
	for _, e := range f.entries(func(a, b *entry[K, V]) int { return cmp.Compare(a.seq, b.seq) }) {
		do(e.key, &e.V)
	}
}

func (f *Map[K, V]) entries(compare func(a, b *entry[K, V]) int) []*entry[K, V] {
	all := make([]*entry[K, V], 0, len(f.m))
	for _, e := range f.m {
		all = append(all, e)
	}
	slices.SortFunc(all, compare)
	return all
}

func (f *Map[K, V]) prune() {
	all := f.entries(func(a, b *entry[K, V]) int {
		return cmp.Or(cmp.Compare(f.weight(&b.V), f.weight(&a.V)), cmp.Compare(a.seq, b.seq))
	})
	for _, e := range all[f.limit:] {
		f.dropped += f.weight(&e.V)
		delete(f.m, e.key)
	}
}

// Sorted returns at most the limit's values in the order of compare, and the weight
// of the others.
func (f *Map[K, V]) Sorted(compare func(a, b *V) int) (list []*V, rest uint64) {
	for _, e := range f.m {
		list = append(list, &e.V)
	}
	slices.SortFunc(list, compare)
	rest = f.dropped
	for _, v := range list[min(f.limit, len(list)):] {
		rest += f.weight(v)
	}
	return list[:min(f.limit, len(list))], rest
}
