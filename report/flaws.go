package report

import (
	"fmt"
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

// tally counts that of a connection.
func (u *Unseen) tally(c *track.Conn) {
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

// count counts a packet, which comes at that time after the one before.
func (f *Flaws) count(p *capture.Packet, after time.Duration) {
	if uint64(p.Length) > uint64(len(p.Data)) {
		f.Cut++
	}
	if after < 0 {
		f.StepsBack++
		f.LargestStep = max(f.LargestStep, -after)
	}
}

// add counts what g has counted, of another capture.
func (f *Flaws) add(g *Flaws) {
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

// notes tells people of each kind of flaw: how many, and what is not known for it.
// There were so many packets and connections.
func (f *Flaws) notes(packets, connections uint64) (notes []string) {
	note := func(n uint64, format string, args ...any) {
		if n > 0 {
			notes = append(notes, "note: "+fmt.Sprintf(format, args...))
		}
	}
	of := func(n, all uint64, noun string) string { return digits(n) + " of " + count(all, noun) }
	received := ""
	if f.Received > 0 {
		received = fmt.Sprintf(" of %s received", digits(f.Received))
	}
	note(f.Dropped, "%s%s dropped before they were captured: what they held is not known", count(f.Dropped, "packet"), received)
	note(f.Gaps, "%s a segment was acknowledged that was not captured: what it did is inferred", count(f.Gaps, "time"))
	note(f.Midstream, "%s in mid-stream when first seen: how they were opened is not known", of(f.Midstream, connections, "connection"))
	note(f.OneSided, "%s seen in one direction only: the other end's states are what its peer's segments prove", of(f.OneSided, connections, "connection"))
	note(f.Duplicates, "%s captured twice, counted once: retransmissions as quick would be missed", count(f.Duplicates, "segment"))
	note(f.Reassembled, "%s put together from IP fragments: checksums not verified", count(f.Reassembled, "segment"))
	note(f.Incomplete, "%s of TCP without all their IP fragments: left out", count(f.Incomplete, "datagram"))
	note(f.Evicted, "%s evicted at the memory limit, the longest idle first: what came of them is not known", of(f.Evicted, connections, "connection"))
	note(f.Cut, "%s captured in part, as the snap length is: checksums not verified", of(f.Cut, packets, "packet"))
	note(f.Sliced, "%s longer by their IP headers than their frames: taken as cut on their way to the capture", of(f.Sliced, packets, "packet"))
	note(f.Offloaded, "%s longer than the receiver takes (segmentation offload): packets and retransmissions on the wire are not those counted", count(f.Offloaded, "segment"))
	note(f.Aggregates, "%s with several segments each (A-MSDU): only the first of each was looked at", of(f.Aggregates, packets, "packet"))
	bad, verified := f.Checksums[decode.ChecksumBad], f.Checksums[decode.ChecksumBad]+f.Checksums[decode.ChecksumGood]
	wrong := of(bad, verified, "checksum") + " wrong"
	if bad == verified {
		wrong = fmt.Sprintf("all %s wrong, as if made or changed behind the capture", count(bad, "checksum"))
	}
	sep := ": "
	if f.BadLeftOut > 0 {
		wrong += sep + count(f.BadLeftOut, "segment") + " left out"
		sep = ", "
	}
	if counted := bad - min(bad, f.BadLeftOut); counted > 0 {
		wrong += sep + count(counted, "segment") + " counted, of senders without a right one before"
	}
	note(bad, "%s", wrong)
	note(f.Checksums[decode.ChecksumOffload], "%s left to the network card: not verified", count(f.Checksums[decode.ChecksumOffload], "checksum"))
	note(f.StepsBack, "the clock stepped back %s, by %s at most: durations across that are wrong", count(f.StepsBack, "time"), short(f.LargestStep))
	return notes
}

// put puts what f counts into e, but for gaps, one_sided and duplicates.
func (f *Flaws) put(e encoder) {
	e.uint("midstream", f.Midstream)
	e.uint("evicted", f.Evicted)
	e.uint("received", f.Received)
	e.uint("dropped", f.Dropped)
	e.uint("reassembled", f.Reassembled)
	e.uint("incomplete", f.Incomplete)
	e.uint("cut", f.Cut)
	e.uint("sliced", f.Sliced)
	e.uint("offloaded", f.Offloaded)
	e.uint("aggregates", f.Aggregates)
	e.open("checksums")
	for c, n := range f.Checksums {
		e.uint(decode.Checksum(c).String(), n)
	}
	e.uint("bad_left_out", f.BadLeftOut)
	e.close()
	e.uint("clock_steps_back", f.StepsBack)
	e.secs("largest_step_back", int64(f.LargestStep))
}
