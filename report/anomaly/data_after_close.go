package anomaly

import "tcplife/track"

// DataAfterClose finds data that met a socket its program had closed.
var DataAfterClose = &Rule{
	Name:     "data-after-close",
	Severity: Warn,
	Ref:      "RFC 1122 §4.2.2.13",
	Doc: `data met a closed socket

An end sent FIN, its peer went on sending, which it may, and the end's host
answered with RST: the program had called close(), not shutdown(SHUT_WR), and
nobody is there to read. The octets are lost, and the peer's program gets an error
where it may have expected success. The usual causes are a client that gives up
on an answer, and a server that refuses a request before it has read all of it.
A program that wants to read on after its FIN uses shutdown(); one that doesn't
should tell its peer by the protocol first.

Up to 64 octets are a note: TLS says its goodbye (close_notify) to a peer that has
often closed before. The rule is silent where the acknowledgment of the data may have
escaped the capture: one-sided, or with gaps.`,
	Explains: []string{"reset-by-client", "reset-by-server", "half-open-peer", "time-wait-killed"},
	Check:    checkDataAfterClose,
}

// goodbye is the most octets that a TLS close_notify takes: a record header of 5,
// an alert of 2, and with CBC an IV, a MAC and padding (RFC 5246 §6.2.3.2).
const goodbye = 64

func checkDataAfterClose(p *Pass) {
	rst, closed, ok := metClosed(p.Conn)
	if !ok || !p.Judged() {
		return
	}
	closer := p.Conn.Ends()[rst.By]
	peer := 1 - rst.By
	severity := Warn
	if rst.Unacked[peer] <= goodbye {
		severity = Note
	}
	p.Report(Finding{
		Severity: severity, Side: SideOf(rst.By), Suspect: AppOf(rst.By), Time: rst.Time,
		Packets: frames(closed.Frame, closer.SinceFrame(), rst.DataFrame[peer], rst.Frame),
		Message: lostAfter(&rst, closed), Weight: int64(rst.Unacked[peer]),
	})
}

// metClosed returns the RST by which a host that had sent FIN refused data, and
// the move that the FIN made.
func metClosed(c *track.Conn) (rst track.Reset, closed track.Transition, ok bool) {
	rst, ok = c.Reset()
	if !ok || rst.Unacked[1-rst.By] == 0 || rst.Asked == 0 && rst.State[1-rst.By] != track.Established {
		return rst, closed, false
	}
	switch rst.State[rst.By] {
	case track.FinWait1, track.FinWait2, track.TimeWait:
	default:
		return rst, closed, false
	}
	closed, _, _ = c.Ends()[rst.By].Stay(track.FinWait1)
	return rst, closed, closed.To == track.FinWait1
}

func lostAfter(rst *track.Reset, closed track.Transition) string {
	return octets(rst.Unacked[1-rst.By], 1-rst.By) + " met RST " +
		Dur(rst.Time.Sub(closed.Time)).String() + " after the " + rst.By.String() + " had closed"
}
