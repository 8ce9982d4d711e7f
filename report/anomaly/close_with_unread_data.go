package anomaly

import (
	"fmt"
	"time"

	"tcplife/track"
)

// CloseWithUnreadData finds aborts by programs that had not read what they got.
var CloseWithUnreadData = &Rule{
	Name:     "close-with-unread-data",
	Severity: Warn,
	Ref:      "RFC 1122 §4.2.2.13",
	Doc: `program closed without reading what it got

An end took data from its peer, sent nothing in answer, and ended the connection
by an abort (RST,ACK). That is what a host does when the program closes its socket
while octets wait to be read, or is killed; SO_LINGER set to 0 looks the same on
the wire. The peer's program gets "connection reset" and may lose the answer that
was on its way to it too. Look at what the program does between accept() and the
read: a limit it has reached, a worker that died, an early error answer that is
not followed by reading the rest of the request.

A client that stops a download, or a probe that has seen enough, does it without
harm. The rule is silent after a FIN of either end, where the end had answered the
last data it got or a second had passed, and about clients that abort after an answer
that they had acknowledged before: they have most likely read it.`,
	Explains: []string{"reset-by-client", "reset-by-server"},
	Check:    checkCloseWithUnreadData,
}

// unreadAtOnce is how soon after a request a server aborts that has not read it:
// later, it had time to, and gave up on what it found.
const unreadAtOnce = time.Second

func checkCloseWithUnreadData(p *Pass) {
	rst, ok := aborted(p.Conn)
	if !ok || rst.State != [2]track.State{track.Established, track.Established} {
		return
	}
	by, peer := rst.By, 1-rst.By
	if m, _ := rst.Maker(); m != track.Application || !rst.ACK {
		return
	}
	got := rst.DataFrame[peer]
	age := rst.Time.Sub(rst.Data[peer])
	switch {
	case got == 0, rst.Data[peer] <= rst.Data[by], rst.Unacked[peer] > 0:
		return // none, answered, or not taken
	case rst.Took == 0 && (by == track.Client || age > unreadAtOnce):
		return // read, most likely, like every last answer
	}
	if !p.Judged() {
		return
	}
	msg := fmt.Sprintf("RST,ACK %v after data of the %v that was acknowledged", Dur(age), peer)
	if rst.Took > 0 {
		msg = fmt.Sprintf("RST,ACK acknowledges %s, %v old", octets(rst.Took, peer), Dur(rst.Time.Sub(rst.Waiting)))
	}
	if n := rst.Unacked[by]; n > 0 {
		msg += fmt.Sprintf("; %s unacknowledged", octets(n, by))
	}
	if rst.DataFrame[by] == 0 {
		msg += "; it never sent any"
	}
	p.Report(Finding{
		Side: SideOf(by), Suspect: AppOf(by), Time: rst.Time,
		Packets: frames(got, rst.Frame), Message: msg,
	})
}
