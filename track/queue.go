package track

import "tcplife/decode/capture"

// A queue holds the connections that are over, in the order in which they were
// put in.
type queue struct {
	items []queued
	head  int
	base  int // position of items[0]: how many were put in before it
}

type queued struct {
	c  *Conn
	at capture.Time // when it was over
}

func (q *queue) push(c *Conn, at capture.Time) {
	if q.head > 1024 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items = q.items[:n]
		q.base += q.head
		q.head = 0
	}
	c.queued = true
	c.place = q.base + len(q.items)
	q.items = append(q.items, queued{c, at})
}

// front returns the connection that was put in first, and when it was over;
// false if there is none.
func (q *queue) front() (*Conn, capture.Time, bool) {
	for q.head < len(q.items) && q.items[q.head].c == nil {
		q.head++
	}
	if q.head == len(q.items) {
		q.base += len(q.items)
		q.items, q.head = q.items[:0], 0
		return nil, 0, false
	}
	return q.items[q.head].c, q.items[q.head].at, true
}

// remove takes c out; it must be in.
func (q *queue) remove(c *Conn) {
	c.queued = false
	q.items[c.place-q.base].c = nil
}
