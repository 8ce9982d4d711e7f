package anomaly

import (
	"fmt"
	"time"

	"tcplife/track"
)

// RequestLostToClose finds requests that crossed the server's close of an idle
// connection.
var RequestLostToClose = &Rule{
	Name:     "request-lost-to-close",
	Severity: Error,
	Ref:      "RFC 9112 §9.5",
	Doc: `request lost to the server's close of an idle connection

The client used a connection again that had been idle, while the server was
closing it: the request and the server's FIN crossed, and the server's host
answered the request with RST. The request is gone, and the client can't know
whether it was carried out; many clients report an error instead of trying again.
The cause is a keep-alive timeout at the server that is not longer than the
client's: let the client (or the proxy before the server) close idle connections
first, by some seconds, and let it repeat requests that are safe to repeat.

The rule is silent where the client had seen the FIN before it sent (what it sends
acknowledges the FIN, as a TLS goodbye does), where it closed at the same time and
the data is no more than such a goodbye, and where the data is the rest of something
that was under way.`,
	Explains: []string{"data-after-close", "reset-by-server", "half-open-peer", "close-with-unread-data"},
	Check:    checkRequestLostToClose,
}

// pause is the shortest time between an answer and a request that tells the
// request from the rest of one before it.
const pause = 100 * time.Millisecond

func checkRequestLostToClose(p *Pass) {
	c := p.Conn
	rst, closed, ok := metClosed(c)
	if !ok || rst.By != track.Server {
		return
	}
	answered := rst.Data[track.Server]
	idle := closed.Time.Sub(answered)
	switch {
	case rst.DataFrame[track.Server] == 0 || rst.Waiting == 0 || answered >= closed.Time:
		return // it was no answer that the server closed after
	case rst.Waiting.Sub(answered) < pause, idle < pause:
		return // it was under way
	case sentFIN(rst.State[track.Client]) && rst.Unacked[track.Client] <= goodbye:
		return // the client closed too
	}
	if t, _, _ := c.Client().Stay(track.CloseWait); t.To == track.CloseWait && t.Time <= rst.Waiting {
		return // the client knew: had it acknowledged the FIN before, or with the data
	}
	if !p.Judged() {
		return
	}
	p.Report(Finding{
		Side: ServerSide, Suspect: ServerApp, Time: rst.Time,
		Packets: frames(closed.Frame, rst.DataFrame[track.Client], rst.Frame),
		Message: fmt.Sprintf("%s sent %s the server's FIN and met RST; the server closed after %v idle",
			octets(rst.Unacked[track.Client], track.Client), beside(rst.Waiting.Sub(closed.Time)), Dur(idle)),
	})
}

// beside says how far from an event something happened.
func beside(d time.Duration) string {
	if d < 0 {
		return Dur(-d).String() + " before"
	}
	return Dur(d).String() + " after"
}
