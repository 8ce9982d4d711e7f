package anomaly

import (
	"fmt"
	"strings"
	"time"

	"tcplife/track"
)

// ResetByClient finds connections that the client ended by RST.
var ResetByClient = &Rule{
	Name:     "reset-by-client",
	Severity: Warn,
	Ref:      "RFC 9293 §3.10.5",
	Doc: `connection reset by the client

The client ended an established connection by RST instead of FIN. RST,ACK is an
abort: the program closed its socket with data unread, with SO_LINGER set to 0,
or was killed. A bare RST is the answer of a host that holds no such socket any
more. The message says what was lost: octets sent that were never acknowledged,
the states at the time, and how long the connection had been idle.

A RST after the server's FIN, with all data acknowledged, is how some clients
close faster: a note. After both FINs a RST is harmless, and the rule silent.`,
	Check: func(p *Pass) { checkReset(p, track.Client) },
}

// idleTold is when the time since the last segment becomes worth a word: below
// it, round trips and think time explain the pause.
const idleTold = 1 * time.Second

// checkReset tells of a RST by the given end.
func checkReset(p *Pass, by track.Role) {
	c := p.Conn
	rst, ok := c.Reset()
	if !ok || rst.By != by || c.Teardown() != track.ByRST {
		return
	}
	mine, peers := rst.State[by], rst.State[1-by]
	if !synchronized(mine) || !synchronized(peers) {
		return // the handshake was not over, or nothing is known of the connection
	}
	lost := [2]uint32{c.Client().Unacked(), c.Server().Unacked()}

	var b strings.Builder
	kind := "RST"
	if rst.ACK {
		kind = "RST,ACK"
	}
	fmt.Fprintf(&b, "%s in %v, peer in %v", kind, mine, peers)
	for r, n := range lost {
		if n > 0 {
			fmt.Fprintf(&b, ", %d octets of the %v unacknowledged", n, track.Role(r))
		}
	}
	if rst.Idle >= idleTold {
		fmt.Fprintf(&b, ", idle for %v before", Dur(rst.Idle))
	}
	f := Finding{
		Side: SideOf(by), Suspect: AppOf(by), Time: rst.Time,
		Packets: frames(rst.Frame), Message: b.String(),
	}
	if mine == track.CloseWait && lost == [2]uint32{} {
		f.Severity = Note // the peer had closed, and had everything
	}
	p.Report(f)
}

// synchronized reports whether s is one of the states in which both initial
// sequence numbers are known to both ends (RFC 9293 §3.5.3).
func synchronized(s track.State) bool { return s >= track.Established }
