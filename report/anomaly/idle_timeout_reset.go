package anomaly

import (
	"fmt"
	"time"

	"tcplife/track"
)

// IdleTimeoutReset finds connections that a box in between forgot.
var IdleTimeoutReset = &Rule{
	Name:     "idle-timeout-reset",
	Severity: Warn,
	Ref:      "RFC 5382 §5",
	Doc: `reset after an idle time that a box in between may have had enough of

The connection was idle, and then a RST ended it: at once, or in answer to the
next segment. Firewalls, load balancers and NAT gateways keep a table of the
connections they know, drop an entry that is idle for long, and answer what comes
later with RST, or not at all. The rule tells of a RST that has come another number
of hops than its supposed sender's segments after ten seconds or more of silence, and
of a bare RST without such evidence after an idle time near the timer of a known
box, which the message names. Let the program or the host send keep-alives well
below the box's timer (TCP_KEEPIDLE), or pool connections for a shorter time.

A host that was restarted while the connection was idle answers the same way: then
the RST has its TTL, and other connections to it break too.`,
	Settings: []*Setting{idleTimeoutAfter},
	Explains: []string{"forged-reset", "half-open-peer", "reset-by-client", "reset-by-server", "close-with-unread-data"},
	Check:    checkIdleTimeoutReset,
}

var idleTimeoutAfter = span("after", 10*time.Second,
	"people and programs pause for seconds in the middle of things; no box is known to be set to less (RFC 5382 wants two hours and four minutes)")

// timers of boxes that reset what they have forgotten, by their makers' documents.
var timers = []struct {
	after time.Duration
	box   string
}{
	{4 * time.Minute, "Azure load balancer or NAT gateway: 4 min"},
	{350 * time.Second, "AWS load balancer (NLB) or NAT gateway: 350 s"},
	{time.Hour, "many firewalls: 1 h"},
}

// near is how far above a box's timer, in the tenths of it, an idle time still
// tells of it: a client's next request comes at any time, but later ones rather
// tell of a restart.
const near = 10

func checkIdleTimeoutReset(p *Pass) {
	rst, ok := aborted(p.Conn)
	if !ok || sentFIN(rst.State[0]) || sentFIN(rst.State[1]) || rst.Quiet < p.Duration(idleTimeoutAfter) {
		return
	}
	hint := ""
	switch m, mayBe := rst.Maker(); {
	case m == track.Middlebox:
	case m == track.Host && len(mayBe) > 0 || m == track.Host && rst.Asked != 0:
		for _, t := range timers {
			if t.after <= rst.Quiet && rst.Quiet <= t.after+t.after/near {
				hint = "; perhaps " + t.box
			}
		}
		if hint == "" {
			return
		}
	default:
		return
	}
	if !p.Judged() {
		return
	}
	then := ""
	if rst.Asked != 0 {
		then = ", then what the " + (1 - rst.By).String() + " sent"
		if rst.Probe {
			then = ", then a keep-alive of the " + (1 - rst.By).String()
		}
	}
	p.Report(Finding{
		Side: SideOf(rst.By), Suspect: Middlebox, Time: rst.Time, Packets: frames(rst.Asked, rst.Frame),
		Message: fmt.Sprintf("idle for %v%s, then %s, %s%s", Dur(rst.Quiet), then, kind(&rst), MadeBy(&rst), hint),
	})
}
