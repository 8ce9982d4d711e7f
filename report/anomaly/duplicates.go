package anomaly

// DuplicatePackets tells of segments that were captured twice.
var DuplicatePackets = &Rule{
	Name:     "duplicates",
	Severity: Note,
	Ref:      "RFC 9293 §3.8.1",
	Doc: `segments captured twice

The same frame was captured twice within 5 ms: a mirror port that copies both what
comes in and what goes out, a capture on several interfaces (-i any) that a packet
passes, or two VLANs of one trunk. Each segment counts once. A retransmission within
that time, which only very short paths see, would be missed. Mirror in one direction,
or leave one interface out.`,
	Flaw: func(f *Flaws, packets, connections uint64) string {
		if f.Duplicates == 0 {
			return ""
		}
		return Counted(f.Duplicates, "segment") + " captured twice, counted once: retransmissions as quick would be missed"
	},
}
