package report

import (
	"fmt"

	"tcplife/decode"
	"tcplife/report/anomaly"
)

// Flaws count what is imperfect about a capture.
type (
	Flaws  = anomaly.Flaws
	Unseen = anomaly.Unseen
)

// notes tells people of each kind of flaw: how many, and what is not known for it.
// There were so many packets and connections.
func notes(f *Flaws, packets, connections uint64) (notes []string) {
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
	note(f.Reassembled, "%s put together from IP fragments: checksums not verified", count(f.Reassembled, "segment"))
	note(f.Incomplete, "%s of TCP without all their IP fragments: left out", count(f.Incomplete, "datagram"))
	note(f.Evicted, "%s evicted at the memory limit, unfinished handshakes and the longest idle first: what came of them is not known", of(f.Evicted, connections, "connection"))
	note(f.Sliced, "%s longer by their IP headers than their frames: taken as cut on their way to the capture", of(f.Sliced, packets, "packet"))
	note(f.Offloaded, "%s longer than the receiver takes (segmentation offload): packets and retransmissions on the wire are not those counted", count(f.Offloaded, "segment"))
	note(f.Aggregates, "%s with several segments each (A-MSDU): only the first of each was looked at", of(f.Aggregates, packets, "packet"))
	note(f.Checksums[decode.ChecksumOffload], "%s left to the network card: not verified", count(f.Checksums[decode.ChecksumOffload], "checksum"))
	for _, r := range anomaly.All {
		if r.Flaw != nil {
			if text := r.Flaw(f, packets, connections); text != "" {
				notes = append(notes, "note: "+text)
			}
		}
	}
	return notes
}

// Findings returns those about the capture itself.
func (c *Capture) Findings() (found []anomaly.Finding) {
	for _, r := range anomaly.All {
		if r.Flaw == nil {
			continue
		}
		if text := r.Flaw(&c.Flaws, c.Packets, c.Connections); text != "" {
			found = append(found, anomaly.Finding{Rule: r, Severity: r.Severity, Suspect: anomaly.TheCapture, Time: c.First, Message: text})
		}
	}
	return found
}

// putFlaws puts what f counts into e, but for gaps, one_sided and duplicates.
func putFlaws(e encoder, f *Flaws) {
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
