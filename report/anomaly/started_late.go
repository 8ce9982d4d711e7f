package anomaly

// StartedLate tells of connections whose handshake was not captured.
var StartedLate = &Rule{
	Name:     "started-late",
	Severity: Note,
	Ref:      "RFC 9293 §3.5",
	Doc: `connections older than the capture

Connections were there before the capture began, or their first frames are missing.
How they were opened is not known, nor the scale of their windows, and which end is
the client is told by the port numbers. That is normal at the beginning of a capture;
if it is most of them, later too, the capture has lost frames, or a filter for data
was used. Start it before the trouble does.`,
	Flaw: func(f *Flaws, packets, connections uint64) string {
		if f.Midstream == 0 {
			return ""
		}
		return of(f.Midstream, connections, "connection") + " in mid-stream when first seen: how they were opened is not known"
	},
}
