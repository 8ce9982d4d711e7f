package track

// A queue holds the connections that are over, in the order in which they were
// put in. A connection knows its place in it, and the queue where the connection
// is kept.
type queue struct {
	items []ref // noRef where taken out
	head  int
	base  int // place of items[0]: how many were put in before it
}

func (q *queue) push(c *Conn) {
	if q.head > 1024 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		q.items = q.items[:n]
		q.base += q.head
		q.head = 0
	}
	c.queued = true
	c.place = uint32(q.base + len(q.items))
	q.items = append(q.items, c.ref)
}

// front returns where the connection is kept that was put in first; false if
// there is none.
func (q *queue) front() (ref, bool) {
	for q.head < len(q.items) && q.items[q.head] == noRef {
		q.head++
	}
	if q.head == len(q.items) {
		q.base += len(q.items)
		q.items, q.head = q.items[:0], 0
		return noRef, false
	}
	return q.items[q.head], true
}

// remove takes c out; it must be in.
func (q *queue) remove(c *Conn) {
	c.queued = false
	q.items[int(c.place-uint32(q.base))] = noRef
	c.place = 0
}
