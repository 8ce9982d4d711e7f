package anomaly

// OneSidedCapture tells of connections of which only one end was seen to send.
var OneSidedCapture = &Rule{
	Name:     "one-sided",
	Severity: Note,
	Ref:      "RFC 9293 §3.3.2",
	Doc: `connections seen in one direction only

Of some connections only one end was captured, although it answers its peer: the
other direction takes another path (asymmetric routing), one of two links of a
bundle or one half of a tap was captured, or a filter left it out. What the unseen
end did is known only from what the other acknowledges, and the rules that blame an
end for what it did not send are not judged. Capture at a host, or at both links.`,
	Flaw: func(f *Flaws, packets, connections uint64) string {
		if f.OneSided == 0 {
			return ""
		}
		return of(f.OneSided, connections, "connection") + " seen in one direction only: the other end's states are what its peer's segments prove"
	},
}
