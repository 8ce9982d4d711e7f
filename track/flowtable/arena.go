package flowtable

// An Arena holds records of one type, which should hold no pointers: then the
// garbage collector never looks at them. Records are referred to by number, do
// not move, and are used again once freed. The zero Arena is empty and ready for
// use.
type Arena[T any] struct {
	chunks []*[chunk]T
	free   []uint32
	n      uint32 // numbers given out so far
}

// chunk is how many records are allocated at a time: enough to make allocation
// rare, few enough that a small capture stays small.
const chunk = 1 << 10

// At returns the record of that number.
func (a *Arena[T]) At(i uint32) *T { return &a.chunks[i/chunk][i%chunk] }

// New returns the number of a zero record.
func (a *Arena[T]) New() uint32 {
	if n := len(a.free); n > 0 {
		i := a.free[n-1]
		a.free = a.free[:n-1]
		return i
	}
	i := a.n
	if i%chunk == 0 {
		a.chunks = append(a.chunks, new([chunk]T))
	}
	a.n++
	return i
}

// Free takes a record back.
func (a *Arena[T]) Free(i uint32) {
	var zero T
	*a.At(i) = zero
	a.free = append(a.free, i)
}

// Len returns how many records are in use.
func (a *Arena[T]) Len() int { return int(a.n) - len(a.free) }

// Cap returns how many records are allocated, in use or not.
func (a *Arena[T]) Cap() int { return len(a.chunks) * chunk }
