package anomaly

import (
	"fmt"

	"tcplife/decode"
	"tcplife/track"
)

// BlindSegments finds segments that were to act on a connection and could not.
var BlindSegments = &Rule{
	Name:     "blind-segments",
	Severity: Warn,
	Ref:      "RFC 5961 §3, §4",
	Doc: `segments that try to reset or take over a connection

RSTs whose numbers lie in or above the window but are not the next one, SYNs
in the middle of an established connection, or FINs with a timestamp from the past
or above the window, and the connection goes on. Somebody who can't see the connection, but knows
its addresses and ports, guesses numbers to end it or to insert data. Stacks of
today answer with a challenge ACK (RFC 5961) and lose nothing; older ones could be
reset by any RST in the window. Find the true source by the TTL and the switch port
that the segments come from; long-lived connections such as BGP want TCP-AO or MD5.

The rule is silent about old duplicates of the connection's own segments, and where
it doesn't show that the connection goes on.`,
	Check: checkBlindSegments,
}

func checkBlindSegments(p *Pass) {
	c := p.Conn
	all, n := c.Blind()
	var evidence []uint64
	kinds := map[string]int{}
	challenged := 0
	var first track.Blind
	for _, b := range all {
		if b.WentOn == 0 {
			continue
		}
		if len(evidence) == 0 {
			first = b
		}
		if len(evidence) < 9 {
			evidence = append(evidence, b.Frame, b.Challenge, b.WentOn)
		}
		if b.Challenge != 0 {
			challenged++
		}
		switch f := b.Flags; {
		case f.Has(decode.SYN):
			kinds["SYN"]++
		case f.Has(decode.FIN):
			kinds["FIN that cannot be"]++
		case b.InWindow:
			kinds["RST in the window"]++
		default:
			kinds["RST outside the window"]++
		}
	}
	if len(evidence) == 0 || !p.Judged() {
		return
	}
	msg := ""
	for _, k := range []string{"RST in the window", "RST outside the window", "SYN", "FIN that cannot be"} {
		if kinds[k] > 0 {
			if msg != "" {
				msg += ", "
			}
			msg += fmt.Sprintf("%d %s", kinds[k], k)
		}
	}
	if n > len(all) {
		msg += fmt.Sprintf(", %d more", n-len(all))
	}
	msg += fmt.Sprintf("; %d challenged; the connection went on", challenged)
	p.Report(Finding{
		Side: SideOf(first.By), Suspect: Attacker, Time: first.Time, Packets: frames(evidence...), Message: msg,
	})
}
