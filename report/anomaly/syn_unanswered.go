package anomaly

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tcplife/track"
)

// SynUnanswered finds SYNs to which nothing came back.
var SynUnanswered = &Rule{
	Name:     "syn-unanswered",
	Severity: Warn,
	Ref:      "RFC 9293 §3.10.7.2",
	Doc: `SYN unanswered

The client sent SYN, perhaps several times, and for three seconds or more nothing
came back, neither SYN,ACK nor RST nor ICMP. A firewall that drops, a host that
is down, a route that leads nowhere, a server whose accept queue is full, or
answers that take another way past the capture. Look first for other
connections to the same port: if some succeed, it is the queue or loss, not a
firewall.

The rule is silent if the capture ends sooner.`,
	Settings: []*Setting{synUnansweredAfter},
	Also:     Plain | LoneSYN,
	Check:    checkSynUnanswered,
}

var synUnansweredAfter = span("after", 3*time.Second,
	"the initial retransmission timeout (RFC 6298 §2.1, 1 s) and its first doubling: two SYNs have had time to be answered")

func checkSynUnanswered(p *Pass) {
	c := p.Conn
	if c.Handshake() != track.Unanswered {
		return
	}
	if _, rejected := c.ICMP(); rejected {
		return // it was answered, though not by TCP
	}
	first, last := c.Client().SYNs()
	waited := p.Now.Sub(first)
	if waited < p.Duration(synUnansweredAfter) {
		p.NotJudged(EndsSoon)
		return
	}
	if p.Echo() {
		return
	}
	msg := fmt.Sprintf("1 SYN, no answer for %v", Dur(waited))
	if n := c.Client().SYN(); n > 1 {
		msg = fmt.Sprintf("%d SYNs in %v (%s), no answer for %v", n, Dur(last.Sub(first)), spacing(c.Client()), Dur(waited))
	}
	p.Report(Finding{
		Side: ServerSide, Suspect: Network, Time: first,
		Packets: frames(c.First, c.Last()), Message: msg, Weight: int64(waited),
	})
}

// spacing tells when the end's SYNs were sent: "at 0, 1, 3, 7 s".
func spacing(e *track.End) string {
	var at []string
	for _, d := range e.Tries() {
		at = append(at, strconv.FormatFloat(d.Seconds(), 'g', 3, 64))
	}
	more := ""
	if len(at) < int(e.SYN()) {
		more = " …"
	}
	return "at " + strings.Join(at, ", ") + more + " s"
}
