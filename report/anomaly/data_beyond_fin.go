package anomaly

// DataBeyondFIN finds ends that send on after their FIN.
var DataBeyondFIN = &Rule{
	Name:     "data-beyond-fin",
	Severity: Warn,
	Ref:      "RFC 9293 §3.6",
	Doc: `new data above the sender's own FIN

An end sent octets with numbers above those of its FIN, which its peer had
acknowledged. FIN means "no more data": the peer ignores them or answers with RST, and they
are lost. No common stack does it. Look for a box that rewrites sequence numbers, for
a proxy or a tool that makes its own segments, and for an attacker who inserts data
into a connection that is over.

Retransmissions of data before the FIN, and keep-alives, are not meant.`,
	Check: checkDataBeyondFIN,
}

func checkDataBeyondFIN(p *Pass) {
	c := p.Conn
	for _, e := range c.Ends() {
		frame, at := e.BeyondFIN()
		if frame == 0 || !p.Judged() {
			continue
		}
		p.Reportf(e, HostOf(c.Role(e)), at, frames(frame), "data above its own FIN, which was acknowledged")
	}
}
