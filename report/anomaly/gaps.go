package anomaly

// CaptureGaps tells of segments that were acknowledged and not captured.
var CaptureGaps = &Rule{
	Name:     "gaps",
	Severity: Note,
	Ref:      "RFC 9293 §3.10.7.4",
	Doc: `segments missing in the capture

Segments were acknowledged that are not in the capture: it has lost frames, which
the network delivered. The capturing host was too slow, its buffer too small (tcpdump
-B, dumpcap -B), a switch dropped what it mirrors, or the frame took another path.
What the missing segments did is inferred, states behind them may be others
(may_be), and no rule blames an end of such a connection for what the gap may hide.`,
	Flaw: func(f *Flaws, packets, connections uint64) string {
		if f.Gaps == 0 {
			return ""
		}
		return Counted(f.Gaps, "time") + " a segment was acknowledged that was not captured: what it did is inferred"
	},
}
