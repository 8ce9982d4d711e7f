package anomaly

import (
	"time"

	"tcplife/decode/capture"
)

// A curve counts how many of something there were at each time, coarsely: when it
// would need more than maxSteps steps, each becomes twice as long. What begins and
// ends within one step is not seen, so the curve never says too much.
//
// The last few added wait to be counted: so what there are few of takes little
// memory, is told exactly, and costs next to nothing.
type curve struct {
	waiting [8]interval
	n       uint8 // that wait
	start   capture.Time
	width   time.Duration // of a step
	delta   []int32       // by how much the count changes at the beginning of each step; nil: all wait
}

type interval struct{ from, to capture.Time }

const (
	maxSteps  = 512
	firstStep = 10 * time.Millisecond
	farthest  = 100 * 365 * 24 * time.Hour // from the beginning: twice as far, and steps could not be counted
)

// forever is the end of what has not ended.
const forever = capture.Time(1<<63 - 1)

// add counts one more, from a time to another. The latter may be forever.
func (c *curve) add(from, to capture.Time) {
	if int(c.n) == len(c.waiting) {
		c.settle()
	}
	c.waiting[c.n] = interval{from, to}
	c.n++
}

// settle counts what waits.
func (c *curve) settle() {
	if c.delta == nil {
		c.start, c.width = c.first(), firstStep
	}
	for _, s := range c.waiting[:c.n] {
		c.put(s)
	}
	c.n = 0
}

func (c *curve) put(s interval) {
	if d := s.from.Sub(c.start); s.to <= s.from || max(d, -d) > farthest {
		return // the clock stepped back, or was set
	}
	if s.from < c.start {
		c.shift(s.from)
	}
	if s.to != forever {
		c.delta[c.step(s.to)]--
	}
	c.delta[c.step(s.from)]++
}

// step returns the step that t, which is not before the start, lies in.
func (c *curve) step(t capture.Time) int {
	for {
		i := max(0, t.Sub(c.start)) / c.width // more than an int of 32 bits holds, maybe
		if i < maxSteps {
			for len(c.delta) <= int(i) {
				c.delta = append(c.delta, 0)
			}
			return int(i)
		}
		c.widen()
	}
}

// widen makes each step twice as long.
func (c *curve) widen() {
	n := (len(c.delta) + 1) / 2
	for i := range n {
		d := c.delta[2*i]
		if 2*i+1 < len(c.delta) {
			d += c.delta[2*i+1]
		}
		c.delta[i] = d
	}
	c.delta, c.width = c.delta[:n], 2*c.width
}

// shift makes the curve begin at or before t.
func (c *curve) shift(t capture.Time) {
	for c.start.Sub(t) > time.Duration(maxSteps-len(c.delta)-1)*c.width {
		c.widen()
	}
	by := int((c.start.Sub(t) + c.width - 1) / c.width)
	c.delta = append(make([]int32, by, by+len(c.delta)), c.delta...)
	c.start = c.start.Add(-time.Duration(by) * c.width)
}

// peak returns the greatest count, and when it was first reached.
func (c *curve) peak() (most int, at capture.Time) {
	if c.delta == nil {
		for _, s := range c.waiting[:c.n] {
			if n := c.at(s.from); n > most || n == most && s.from < at {
				most, at = n, s.from
			}
		}
		return most, at
	}
	c.settle()
	n := 0
	for i, d := range c.delta {
		if n += int(d); n > most {
			most, at = n, c.start.Add(time.Duration(i)*c.width)
		}
	}
	return most, at
}

// at returns the count at a time.
func (c *curve) at(t capture.Time) (n int) {
	if c.delta == nil {
		for _, s := range c.waiting[:c.n] {
			if s.from <= t && t < s.to {
				n++
			}
		}
		return n
	}
	c.settle()
	for i, d := range c.delta {
		if c.start.Add(time.Duration(i)*c.width) > t {
			break
		}
		n += int(d)
	}
	return n
}

// first returns when the curve begins.
func (c *curve) first() capture.Time {
	if c.delta != nil {
		c.settle()
		return c.start
	}
	first := forever
	for _, s := range c.waiting[:c.n] {
		first = min(first, s.from)
	}
	return first
}
