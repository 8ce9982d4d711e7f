package anomaly

import (
	"fmt"
	"time"

	"tcplife/decode"
	"tcplife/track"
)

// HalfOpenPeer finds connections that one end had lost.
var HalfOpenPeer = &Rule{
	Name:     "half-open-peer",
	Severity: Warn,
	Ref:      "RFC 9293 §3.5.1",
	Doc: `one end had lost the connection

An end sent neither FIN nor RST, and then answered what its peer sent (data, a
keep-alive, or the challenge to a new SYN from the same port) with a bare RST: its
host has no such socket. It was restarted, or its address moved to another host (a
failover, a new container, a load balancer that sends the connection elsewhere);
or it gave up silently after retransmissions that were not answered, or its own RST
was lost before the capture. What its peer sent since is lost. Look at the uptime of that host, and at what stands before it.

A box in between that has forgotten the connection does the same, and is told by
the TTL of the RST. The rule is silent where the host may have refused the
connection at its very beginning, and where the RST may be an abort.`,
	Explains: []string{"reset-by-client", "reset-by-server"},
	Check:    checkHalfOpenPeer,
}

// silence is how long an end must have been silent for its RST to count as the
// answer of a host that had lost the connection, where nothing in its form says so.
const silence = time.Second

func checkHalfOpenPeer(p *Pass) {
	c := p.Conn
	rst, ok := c.Reset()
	if !ok || rst.ACK || rst.Asked == 0 || rst.Stateless {
		return
	}
	switch rst.State[rst.By] {
	case track.Established, track.CloseWait:
	default:
		return
	}
	if _, rejected := c.ICMP(); rejected || !synchronized(rst.State[1-rst.By]) {
		return
	}
	earlier, _ := c.Blind()
	for _, b := range earlier {
		if b.By == rst.By && b.Flags.Has(decode.RST) {
			return // it had told that it ended the connection, behind octets that were lost before the capture
		}
	}
	end := c.Ends()[rst.By]
	m, _ := rst.Maker()
	stateless := rst.Marks.Has(track.MarkAnswers) && !rst.Marks.Has(track.MarkWindow)
	switch {
	case !c.Midstream && rst.By == track.Server && end.Packets() <= uint64(end.SYN()+end.RST()):
		return // a full accept queue
	case m != track.Host:
		return
	case !rst.Anew && rst.Quiet < silence && !(stateless && rst.Marks&(track.MarkNoTimestamps|track.MarkNoID) != 0):
		return
	case !p.Judged():
		return
	}
	what := "data"
	switch {
	case rst.Anew:
		what = "the challenge"
	case rst.Probe:
		what = "a keep-alive"
	case rst.DataFrame[1-rst.By] != rst.Asked:
		what = "a segment"
	}
	msg := fmt.Sprintf("RST answers %s of the %v, which holds the connection; silent for %v before", what, 1-rst.By, Dur(rst.Quiet))
	if n := rst.Unacked[1-rst.By]; n > 0 {
		msg += fmt.Sprintf("; %s lost", octets(n, 1-rst.By))
	}
	p.Report(Finding{
		Side: SideOf(rst.By), Suspect: HostOf(rst.By), Time: rst.Time,
		Packets: frames(rst.Asked, rst.Frame), Message: msg,
	})
}
