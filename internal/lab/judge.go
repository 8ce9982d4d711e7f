//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"tcplife/decode/capture"
	"tcplife/track"
)

// A verdict is what comes of a random scenario.
type verdict struct {
	pcap, text []byte
	diffs      []string // what the tracker says otherwise than the kernels
	excuses    []string // the same, where it can't know
	late       time.Duration
}

// try plays a random scenario and holds the tracker to it.
func try(p *plan, sc scenario, n int, t *tracer) (*verdict, error) {
	l, ws, err := perform(sc, n, t)
	if err != nil {
		return nil, err
	}
	v := &verdict{text: l.text(sc, ws), late: l.wire.late}
	ws = slices.DeleteFunc(ws, l.unseen)
	if v.pcap, err = l.pcap(); err != nil || len(ws) == 0 {
		return v, err
	}
	r, err := capture.NewReader(bytes.NewReader(v.pcap))
	if err != nil {
		return nil, err
	}
	gs, err := tracked(r)
	if err != nil {
		return nil, err
	}
	ws, gs = l.real(ws, gs)
	v.diffs = compareBut(ws, gs, func(w *want, r int, moves []move, mayBe []string) bool {
		why := l.excuse(p, w, r, moves, mayBe)
		if why == "" {
			return false
		}
		v.excuses = append(v.excuses, fmt.Sprintf("%s: %s\n\tkernel  %v\n\ttracker %v", hostNames[r], why, w.Ends[r], pattern(states(moves))))
		return true
	})
	return v, nil
}

// unseen reports whether neither end of a connection, of which the kernels had
// one, has a segment in the capture.
func (l *lab) unseen(w *want) bool {
	return len(w.Ends[0])+len(w.Ends[1]) > 0 && !slices.ContainsFunc(l.wire.captured, func(f *frame) bool {
		return f.from != nil && f.tcp != nil && (f.src == w.Client && f.dst == w.Server || f.src == w.Server && f.dst == w.Client)
	})
}

// real leaves out, of several connections of the same addresses and ports, those
// that are more than the other side has: records that begin with a forged SYN,
// and connections that the capture need not show.
func (l *lab) real(ws []*want, gs []*got) ([]*want, []*got) {
	surplus := func(c, s netip.AddrPort) (n int) { // of records
		for _, g := range gs {
			if g.Client == c && g.Server == s || g.Client == s && g.Server == c {
				n++
			}
		}
		for _, w := range ws {
			if w.Client == c && w.Server == s || w.Client == s && w.Server == c {
				n--
			}
		}
		return n
	}
	for i := 0; i < len(gs); i++ {
		if g := gs[i]; surplus(g.Client, g.Server) > 0 && l.wire.captured[g.First-1].from == nil {
			gs = slices.Delete(gs, i, i+1)
			i--
		}
	}
	for i := len(ws) - 1; i >= 0; i-- {
		if w := ws[i]; w.Optional && surplus(w.Client, w.Server) < 0 {
			ws = slices.Delete(ws, i, i+1)
		}
	}
	return ws, gs
}

// excuse says why a tracker can't know better, or "".
func (l *lab) excuse(p *plan, w *want, r int, moves []move, mayBe []string) string {
	fits := func(m []move) bool {
		_, ok := w.Ends[r].fit(states(normalise(m)))
		return ok
	}
	n := len(moves)
	for _, s := range mayBe {
		if n > 0 && (fits(append(slices.Clone(moves), move{state: s})) || fits(append(slices.Clone(moves[:n-1]), move{state: s}))) {
			return "the tracker says that it may be " + s
		}
	}
	if r == 1 && slices.Contains([]string{"deferred", "full", "cookies", "fast"}, p.opening) {
		if fits(slices.DeleteFunc(slices.Clone(moves), func(m move) bool { return m.state == "ESTABLISHED" && m.basis == track.Received })) {
			return "the server kept SYN_RCVD silently"
		}
	}
	forged := func(m move) bool { return m.frame > 0 && l.wire.captured[m.frame-1].from == nil }
	if slices.ContainsFunc(moves, forged) {
		real := slices.DeleteFunc(slices.Clone(moves), forged)
		if fits(real) || fits(append(real, move{state: "CLOSED"})) {
			return "forged frames are taken for its own or its peer's"
		}
	}
	if p.late > 0 && n == 0 {
		return "nothing is proved of what began before the capture"
	}
	if slices.ContainsFunc(p.faults, func(f fault) bool { return f.fate.slow > 0 }) {
		// Which of two segments came first, the peer's FIN or its ACK, is decided
		// behind the capture point.
		order := func(m move) bool { return m.state == "FIN_WAIT_2" || m.state == "CLOSING" }
		q := slices.DeleteFunc(slices.Clone(w.Ends[r]), func(s string) bool {
			return strings.HasPrefix(s, "FIN_WAIT_2") || strings.HasPrefix(s, "CLOSING")
		})
		if _, ok := q.fit(states(normalise(slices.DeleteFunc(slices.Clone(moves), order)))); ok {
			return "segments changed places behind the capture point"
		}
	}
	if k := slices.Index(w.Ends[r], "SYN_RCVD"); r == 1 && p.opening == "cookies" && slices.Contains(w.Ends[r][k+1:], "SYN_RCVD") {
		return "a copy of the handshake's ACK has a good cookie again"
	}
	local := w.Client
	if r == 1 {
		local = w.Server
	}
	for i := n - 1; i >= 0; i-- {
		m := moves[i]
		if m.frame == 0 || int(m.frame) > len(l.wire.captured) {
			break
		}
		f := l.wire.captured[m.frame-1]
		lost := f.came.IsZero() && m.basis == track.Received
		if !lost && f.from != nil {
			break
		}
		if l.spoke(local, f.caught.Add(2*(l.wire.near[0]+l.wire.near[1]))) {
			break
		}
		if !fits(moves[:i]) {
			continue
		}
		if lost {
			return fmt.Sprintf("frame %d is lost behind the capture point, and the end is silent since", m.frame)
		}
		return fmt.Sprintf("frame %d is forged, and the end is silent since", m.frame)
	}
	return ""
}

// spoke reports whether a segment of an end was captured that it sent after t.
func (l *lab) spoke(a netip.AddrPort, t time.Time) bool {
	return slices.ContainsFunc(l.wire.captured, func(f *frame) bool {
		return f.from != nil && f.tcp != nil && f.src == a && f.sent.After(t)
	})
}

// adjust takes back what a random scenario can't hold a tracker to.
func (p *plan) adjust(w *want) {
	w.At = [2][]when{}
	if w.ClosedFirst == "none" || slices.ContainsFunc(p.steps, func(s step) bool { return strings.HasPrefix(s.text, "forged") }) ||
		!slices.Contains(slices.Concat(w.Ends[0], w.Ends[1]), "FIN_WAIT_1") ||
		slices.Contains(slices.Concat(w.Ends[0], w.Ends[1]), "FIN_WAIT_1?") {
		w.ClosedFirst = ""
	}
	for r := range w.Ends {
		for len(w.Ends[r]) > 0 && strings.HasPrefix(w.Ends[r][0], "CLOSED") {
			w.Ends[r] = w.Ends[r][1:]
		}
		w.Ends[r] = p.tolerate(r, finNeverLeft(w.Ends[r]))
	}
	if p.late > 0 {
		for r, states := range w.Ends {
			if len(states) > 0 {
				// What the first segments prove may lie before them.
				first := []string{"ESTABLISHED?", "CLOSE_WAIT?", "FIN_WAIT_1?", "FIN_WAIT_2?"}
				if i := slices.Index(first, strings.TrimSuffix(states[0], "?")+"?"); i >= 0 {
					first = slices.Delete(first, i, i+1)
				}
				w.Ends[r] = append(append(first, strings.TrimSuffix(states[0], "?")+"?"), states[1:]...)
			}
		}
	}
	all := slices.Concat(w.Ends[0], w.Ends[1])
	w.Optional = len(w.Ends[1]) == 0 || // an unanswered SYN, on ports in use
		!slices.ContainsFunc(all, func(s string) bool { return !strings.HasSuffix(s, "?") })
	switch {
	case len(w.Ends[0]) == 0 && len(w.Ends[1]) == 0:
		w.Optional, w.EitherWay = true, true
		w.accept("client", "of no connection", "*")
		w.accept("server", "of no connection", "*")
	case len(w.Ends[0]) == 0:
		w.accept("client", "its SYN is forged, or older than the capture", "SYN_SENT? ESTABLISHED? CLOSED?")
	case len(w.Ends[1]) == 0 && (p.opening == "cookies" || p.opening == "full"):
		w.accept("server", "a cookie has no state, and a full queue takes no ACK", "SYN_RCVD? ESTABLISHED? CLOSED?")
	}
}

// tolerate makes optional what the wire can't tell.
func (p *plan) tolerate(r int, states pattern) pattern {
	var out pattern
	for i, s := range states {
		if s == "CLOSED" && !slices.ContainsFunc(states[:i], func(s string) bool { return !strings.HasSuffix(s, "?") }) {
			s += "?"
		}
		// Without room for TIME_WAIT a kernel goes to CLOSED at once.
		if p.has(r, "tcp_max_tw_buckets") && strings.HasPrefix(s, "CLOSED") && i > 0 &&
			slices.Contains([]string{"FIN_WAIT_1", "FIN_WAIT_2", "CLOSING"}, strings.TrimSuffix(states[i-1], "?")) {
			if strings.HasPrefix(states[i-1], "FIN_WAIT_1") {
				out = append(out, "FIN_WAIT_2?")
			}
			out = append(out, "TIME_WAIT?")
			s = "CLOSED?"
		}
		out = append(out, s)
	}
	if n := len(out); n > 0 && p.has(r, "tcp_rfc1337") && out[n-1] == "TIME_WAIT" {
		out = append(out, "CLOSED?") // it ignores a RST that others take
	}
	return out
}

// has reports whether a host's parameter is set.
func (p *plan) has(who int, name string) bool {
	return slices.ContainsFunc(p.sysctls[who], func(s [2]string) bool { return s[0] == "net.ipv4."+name })
}

// finNeverLeft makes the states optional that only a FIN tells which was queued
// and never sent: the wire shows those of an end that has not closed.
func finNeverLeft(p pattern) pattern {
	i := slices.Index(p, "FIN_WAIT_1?")
	if i < 0 {
		return p
	}
	q := slices.Clone(p[:i+1])
	for _, s := range p[i+1:] {
		if s == "CLOSING" || s == "TIME_WAIT" {
			q = append(q, "CLOSE_WAIT?")
			s += "?"
		}
		q = append(q, s)
	}
	return q
}

// workers is how many scenarios run at a time.
const workers = 6

// random plays the random scenarios of these seeds, and tells out what comes of
// them. It returns those that disagree with the kernels; their captures are saved
// to dir if it is not "".
func random(out io.Writer, dir string, seeds []uint64) (disagree []uint64, err error) {
	unlock, err := alone()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	t, err := newTracer()
	if err != nil {
		return nil, err
	}
	defer t.close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	agree, excused, late := 0, 0, 0
	next := make(chan uint64)
	for worker := range workers {
		wg.Go(func() {
			for seed := range next {
				p, sc := randomScenario(seed)
				v, err := try(p, sc, 100+worker, t)
				mu.Lock()
				switch {
				case err != nil:
					failed = append(failed, fmt.Errorf("seed %d: %w", seed, err))
				case v.late > punctual:
					late++
				case v.diffs != nil:
					disagree = append(disagree, seed)
					fmt.Fprintf(out, "seed %d\n%s%s\n\n", seed, v.text, strings.Join(v.diffs, "\n"))
					if dir != "" {
						if err := save(dir, sc.name, v.pcap, v.text); err != nil {
							failed = append(failed, err)
						}
					}
				case v.excuses != nil:
					excused++
					fmt.Fprintf(out, "seed %d excused: %s\n\n", seed, strings.Join(v.excuses, "\n"))
				default:
					agree++
				}
				mu.Unlock()
			}
		})
	}
	for _, s := range seeds {
		next <- s
	}
	close(next)
	wg.Wait()
	fmt.Fprintf(out, "%d agree, %d disagree, in %d the tracker can't know, in %d the machine was too slow, %d failed\n",
		agree, len(disagree), excused, late, len(failed))
	return disagree, errors.Join(failed...)
}
