// Package capture reads packets from capture files. A user learns from it what
// a file holds, and exactly where it is damaged.
package capture

import "time"

// Time is a point in time: nanoseconds since 1970-01-01 00:00 UTC. It is a plain
// number, and not a time.Time, so that records of packets hold no pointers.
type Time int64

// Sub returns t - u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Add returns t + d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

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
