package track

import (
	"time"

	"tcplife/decode/capture"
)

// How long ends that hear nothing live on, by Linux's defaults.
const (
	requestLife   = 63 * time.Second  // tcp_synack_retries 5: SYN_RCVD
	connectLife   = 127 * time.Second // tcp_syn_retries 6: SYN_SENT
	orphanLife    = 60 * time.Second  // tcp_fin_timeout: FIN_WAIT_2 of a closed socket
	timeWaitSlack = 2 * time.Second   // TIME_WAIT ends up to this late
	givingUp      = 3                 // retransmissions without answer that may have been the last
)

// MayBe returns the other states that the end may be in at the given time: those
// that the same segments allow. It is empty where the state is proved.
func (e *End) MayBe(now capture.Time) States {
	var may States
	t, ok := e.lastTransition()
	if !ok {
		return 0
	}
	age := now.Sub(t.Time)
	switch e.State() {
	case SynSent:
		if _, last := e.SYNs(); now.Sub(last) > connectLife/2 && age > connectLife {
			may = may.Add(Closed)
		}
	case SynReceived:
		if age > requestLife {
			may = may.Add(Closed)
		}
	case Established:
		if t.move == rcvAckOfSYN && t.Basis == Received && !e.is(acted) {
			may = may.Add(SynReceived)
		}
		if e.is(finWaits) {
			may = may.Add(FinWait1)
		}
		if e.behindGap {
			may = may.Add(FinWait2)
		}
		if e.beforeGap {
			may = may.Add(CloseWait)
		}
	case CloseWait:
		if e.is(finWaits) {
			may = may.Add(LastAck)
		}
		if e.behindGap {
			may = may.Add(cond(e.gapLate, Closed, TimeWait))
		}
	case FinWait1:
		if e.finAckedBy(e.una) && e.is(unaKnown) {
			may = may.Add(FinWait2)
		}
		if e.blind || e.beforeGap {
			may = may.Add(LastAck)
		}
	case FinWait2:
		if (age > orphanLife || e.shaken) && !e.lateAcked {
			may = may.Add(Closed)
		}
		if e.beforeGap {
			may = may.Add(cond(e.gapLate, TimeWait, Closed))
		}
	case Closed:
		if t.move == timeout2MSL && t.Basis == Timer && age < timeWaitSlack {
			may = may.Add(TimeWait)
		}
	}
	if e.gaveUp(now) {
		may = may.Add(Closed)
	}
	return may
}

// gaveUp reports whether the end sent octets again and again, got no answer, and
// is silent since the next repetition was due: giving up is silent.
func (e *End) gaveUp(now capture.Time) bool {
	switch e.State() {
	case Closed, TimeWait, FinWait2, SynSent, SynReceived:
		return false
	}
	return e.streak.n >= givingUp && now.Sub(e.Sent()) > 5*e.streak.gap/2
}

// cond returns a where ok, else b.
func cond[T any](ok bool, a, b T) T {
	if ok {
		return a
	}
	return b
}
