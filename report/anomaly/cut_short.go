package anomaly

// CutShort tells of packets that were not captured whole.
var CutShort = &Rule{
	Name:     "cut-short",
	Severity: Note,
	Ref:      "RFC 9293 §3.1",
	Doc: `packets captured in part

The snap length of the capture (tcpdump -s, dumpcap -s) is shorter than some packets.
Lengths come from the IP header, so octets are counted as they were on the wire;
checksums of these packets can not be verified, and where the cut lies within the
options of TCP, timestamps and SACK are unknown. 128 octets are enough for all headers
in use without tunnels.`,
	Flaw: func(f *Flaws, packets, connections uint64) string {
		if f.Cut == 0 {
			return ""
		}
		return of(f.Cut, packets, "packet") + " captured in part, as the snap length is: checksums not verified"
	},
}
