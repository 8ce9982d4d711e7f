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
more. The message says who made it and what was lost: octets sent that were never
acknowledged, the states at the time, and how long the connection had been idle.
Look at what the program does with the connection in its error paths.

Once an end has sent FIN, and all data but a TLS goodbye is acknowledged, a RST is how some clients
close faster, or don't wait for the other half: a note. So is the RST of a client that
only wanted to see whether the port is open, as load balancers do: nothing had been
sent. After both FINs a RST is
harmless, and the rule silent.`,
	Check: func(p *Pass) { checkReset(p, track.Client) },
}

// idleTold is when the time since the last segment becomes worth a word: below
// it, round trips and think time explain the pause.
const idleTold = 1 * time.Second

// checkReset tells of a RST by the given end.
func checkReset(p *Pass, by track.Role) {
	rst, ok := aborted(p.Conn)
	if !ok || rst.By != by {
		return
	}
	mine, peers := rst.State[by], rst.State[1-by]
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %v, peer in %v, %s", kind(&rst), mine, peers, MadeBy(&rst))
	for r, n := range rst.Unacked {
		if n > 0 {
			fmt.Fprintf(&b, ", %s unacknowledged", octets(n, track.Role(r)))
		}
	}
	if rst.Idle >= idleTold {
		fmt.Fprintf(&b, ", idle for %v before", Dur(rst.Idle))
	}
	if rst.Again != 0 {
		b.WriteString("; the peer went on, and met RST again")
		if rst.AgainUnacked > 0 {
			fmt.Fprintf(&b, " with %s", octets(rst.AgainUnacked, 1-by))
		}
	}
	f := Finding{
		Side: SideOf(by), Suspect: blamed(&rst), Time: rst.Time,
		Packets: frames(rst.Frame, rst.AgainData, rst.Again), Message: b.String(),
		Weight: int64(rst.Unacked[0]) + int64(rst.Unacked[1]),
	}
	switch cli, srv := p.Conn.Client(), p.Conn.Server(); {
	case (mine == track.CloseWait || sentFIN(mine)) && max(rst.Unacked[0], rst.Unacked[1]) <= goodbye:
		f.Severity = Note // one had closed, and had everything
	case f.Suspect == ClientApp && !p.Conn.Midstream && cli.PayloadBytes() == 0 && srv.PayloadBytes() == 0:
		f.Severity = Note // it had come to see whether the port is open
	}
	p.Report(f)
}
