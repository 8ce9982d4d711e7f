// Package capture reads packets from capture files. A user learns from it what
// a file holds, and exactly where it is damaged.
package capture

import (
	"math"
	"time"
)

// Time is a point in time: nanoseconds since 1970-01-01 00:00 UTC. It is a plain
// number, and not a time.Time, so that records of packets hold no pointers.
type Time int64

// Sub returns t - u, or the longest duration of that sign if it is longer.
func (t Time) Sub(u Time) time.Duration {
	d := t - u
	switch {
	case t > u && d < 0:
		return math.MaxInt64
	case t < u && d > 0:
		return math.MinInt64
	}
	return time.Duration(d)
}

// Add returns t + d, or the last or first point in time if that lies beyond.
func (t Time) Add(d time.Duration) Time {
	u := t + Time(d)
	switch {
	case d > 0 && u < t:
		return math.MaxInt64
	case d < 0 && u > t:
		return math.MinInt64
	}
	return u
}

// UTC returns t as a time.Time in UTC.
func (t Time) UTC() time.Time { return time.Unix(0, int64(t)).UTC() }

// A Packet is one captured link-layer record.
type Packet struct {
	Time     Time
	Frame    uint64 // number in its file, from 1, as Wireshark counts
	LinkType uint32 // LINKTYPE_ value; see tcpdump.org/linktypes.html
	Length   uint32 // octets on the wire
	Data     []byte // what was captured of them; valid until the next read
}
