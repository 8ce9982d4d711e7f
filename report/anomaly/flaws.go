package anomaly

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track"
)

// Flaws count what is imperfect about a capture, and keeps something about its
// connections from being known.
type Flaws struct {
	Received, Dropped uint64 // packets, by the interfaces' own statistics; 0 if there are none
	Unseen
	Reassembled uint64 // segments put together from IP fragments
	Incomplete  uint64 // datagrams of TCP of which fragments are missing
	Cut         uint64 // packets of which the capture holds less than was on the wire
	Sliced      uint64 // packets longer by their IP headers than on the wire
	Offloaded   uint64 // segments longer than their receiver takes, which a network card splits or puts together
	Aggregates  uint64 // packets with several segments each, of which the first was used
	Checksums   [decode.NumChecksums]uint64
	BadLeftOut  uint64        // segments that did not count for their checksum
	StepsBack   uint64        // packets with an earlier time than the one before in the file
	LargestStep time.Duration // the most of which it was earlier
}

// Unseen counts what was not captured of connections, or twice.
type Unseen struct {
	Gaps       uint64 // times that segments were acknowledged which were not captured
	Midstream  uint64 // connections of which the handshake was not captured
	OneSided   uint64 // connections of which one end was never seen to send
	Duplicates uint64 // segments captured twice
	Evicted    uint64 // connections that had to make room, and may have gone on
}

// Tally counts that of a connection.
func (u *Unseen) Tally(c *track.Conn) {
	if c.Midstream {
		u.Midstream++
	}
	if c.OneSided() {
		u.OneSided++
	}
	u.Gaps += uint64(c.Gaps())
	u.Duplicates += uint64(c.Duplicates())
	if c.EndReason == track.Evicted {
		u.Evicted++
	}
}

// Count counts a packet, which comes at that time after the one before.
func (f *Flaws) Count(p *capture.Packet, after time.Duration) {
	if uint64(p.Length) > uint64(len(p.Data)) {
		f.Cut++
	}
	if after < 0 {
		f.StepsBack++
		f.LargestStep = max(f.LargestStep, -after)
	}
}

// Add counts what g has counted, of another capture.
func (f *Flaws) Add(g *Flaws) {
	f.Received += g.Received
	f.Dropped += g.Dropped
	f.Gaps += g.Gaps
	f.Midstream += g.Midstream
	f.OneSided += g.OneSided
	f.Duplicates += g.Duplicates
	f.Evicted += g.Evicted
	f.Reassembled += g.Reassembled
	f.Incomplete += g.Incomplete
	f.Cut += g.Cut
	f.Sliced += g.Sliced
	f.Offloaded += g.Offloaded
	f.Aggregates += g.Aggregates
	for c, n := range g.Checksums {
		f.Checksums[c] += n
	}
	f.BadLeftOut += g.BadLeftOut
	f.StepsBack += g.StepsBack
	f.LargestStep = max(f.LargestStep, g.LargestStep)
}
