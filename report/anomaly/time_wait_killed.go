package anomaly

import (
	"fmt"

	"tcplife/track"
)

// TimeWaitKilled finds RSTs that ended TIME_WAIT.
var TimeWaitKilled = &Rule{
	Name:     "time-wait-killed",
	Severity: Warn,
	Ref:      "RFC 1337 §3",
	Doc: `RST ended TIME_WAIT

An end was in TIME_WAIT, which protects the next connection between the same ports
from old duplicates, and a RST with the right number ended it early: "TIME-WAIT
assassination". Without an attacker it happens where an old duplicate of a segment
meets TIME_WAIT, which answers with an ACK, or where the last ACK was doubled on its
way, and the peer, which has closed, answers with RST: then it is a note. Linux
ignores such RSTs with net.ipv4.tcp_rfc1337=1. It matters where ports are reused
quickly: an old segment may then be taken for one of the new connection.

The rule is silent where the RST has another number than the next one.`,
	Check: checkTimeWaitKilled,
}

func checkTimeWaitKilled(p *Pass) {
	rst, ok := p.Conn.Reset()
	if !ok || rst.State[1-rst.By] != track.TimeWait {
		return
	}
	victim := p.Conn.Ends()[1-rst.By]
	in, _, _ := victim.Stay(track.TimeWait)
	f := Finding{
		Side: SideOf(1 - rst.By), Time: rst.Time, Packets: frames(in.Frame, rst.Asked, rst.Frame),
		Message: fmt.Sprintf("%s ended TIME_WAIT after %v, %s", kind(&rst), Dur(rst.Time.Sub(in.Time)), MadeBy(&rst)),
	}
	switch m, _ := rst.Maker(); {
	case m == track.Middlebox || m == track.Forger:
		f.Suspect = Attacker
	case rst.Marks.Has(track.MarkAnswers):
		f.Severity, f.Suspect = Note, Network
	}
	p.Report(f)
}
