package report

import (
	"cmp"
	"slices"
)

// fold is a map of bounded size. When it holds twice its limit, the lighter half
// is dropped and only its weight is kept, so an attacker's million of ports
// cannot push out the server that has a thousand connections.
type fold[K comparable, V any] struct {
	m       map[K]*entry[K, V]
	weight  func(*V) uint64
	dropped uint64 // weight of what was left out
	n       uint64 // entries ever made
}

type entry[K comparable, V any] struct {
	V   V
	key K
	seq uint64 // among equals the first stay
}

// at returns the value of k, which is new and zero if k was not there.
func (f *fold[K, V]) at(k K, limit int, weight func(*V) uint64) *V {
	if e, ok := f.m[k]; ok {
		return &e.V
	}
	if f.m == nil {
		f.m = make(map[K]*entry[K, V])
		f.weight = weight
	}
	if len(f.m) >= 2*limit {
		f.prune(limit)
	}
	f.n++
	e := &entry[K, V]{key: k, seq: f.n}
	f.m[k] = e
	return &e.V
}

func (f *fold[K, V]) prune(limit int) {
	all := make([]*entry[K, V], 0, len(f.m))
	for _, e := range f.m {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry[K, V]) int {
		return cmp.Or(cmp.Compare(f.weight(&b.V), f.weight(&a.V)), cmp.Compare(a.seq, b.seq))
	})
	for _, e := range all[limit:] {
		f.dropped += f.weight(&e.V)
		delete(f.m, e.key)
	}
}

// sorted returns at most limit values in the order of compare, and the weight of
// the others.
func (f *fold[K, V]) sorted(limit int, compare func(a, b *V) int) (list []*V, rest uint64) {
	for _, e := range f.m {
		list = append(list, &e.V)
	}
	slices.SortFunc(list, compare)
	rest = f.dropped
	for _, v := range list[min(limit, len(list)):] {
		rest += f.weight(v)
	}
	return list[:min(limit, len(list))], rest
}
