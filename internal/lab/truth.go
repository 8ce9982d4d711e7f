//go:build linux

package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A life is what one kernel says of one use of an address pair: a socket, the
// request that it came from, and the minisock that it leaves behind.
type life struct {
	pair
	states []stay
	isn    uint32    // of the SYN that began the connection
	active bool      // began with its own SYN
	mini   bool      // has no full socket at the moment
	reused bool      // ended when the next one took its place
	until  time.Time // when the next life of its addresses and ports began; zero: never
}

// A stay is a state and when it began.
type stay struct {
	state string
	since time.Time
}

func (f *life) last() string { return f.states[len(f.states)-1].state }
func (f *life) over() bool   { return f.last() == "CLOSED" }
func (f *life) add(state string, t time.Time) {
	if f.last() != state {
		f.states = append(f.states, stay{state, t})
	}
}

// A chronicle puts the trace of a host's sockets and the snapshots of its
// minisocks together.
//
//   - A request is SYN_RCVD. One that ends without a socket is CLOSED.
//   - A socket in TIME_WAIT, and an orphan in FIN_WAIT_2, is a minisock. The
//     kernel closes the socket with the step to one, and that CLOSED is none.
//   - When the minisock is gone, or a new connection takes its place, it is
//     CLOSED.
type chronicle struct {
	h       *host
	w       *wire
	snaps   []snap
	changed map[pair][]time.Time // by the trace
	all     []*life
	now     map[pair]*life // the latest of each pair
}

// lives returns the lives of a host's sockets, in the order of their beginnings.
func (l *lab) lives(h *host, changes []change, offset time.Duration) []*life {
	c := &chronicle{
		h: h, w: l.wire, snaps: l.wire.snaps[l.wire.index(h)],
		changed: map[pair][]time.Time{}, now: map[pair]*life{},
	}
	type entry struct {
		t     time.Time
		write func()
	}
	var entries []entry
	for i, ch := range changes {
		if ch.local.Addr() != h.addr || l.unsent(changes[i:]) || i > 0 && l.unsent(changes[i-1:]) {
			continue
		}
		p, t := pair{ch.local, ch.remote}, time.Unix(0, int64(ch.mono+offset))
		c.changed[p] = append(c.changed[p], t)
		entries = append(entries, entry{t, func() { c.traced(p, ch, t) }})
	}
	for _, s := range c.snaps {
		entries = append(entries, entry{s.from, func() { c.seen(s) }})
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.t.Compare(b.t) })
	for _, e := range entries {
		e.write()
	}
	for i, f := range c.all {
		next := func(g *life) bool { return g.pair == f.pair }
		if j := slices.IndexFunc(c.all[i+1:], next); j >= 0 {
			f.until = c.all[i+1+j].states[0].since
		}
		if f.active {
			f.isn = l.ownISN(h, f)
		}
	}
	return c.all
}

// unsent reports whether the first change is that of a socket whose connect()
// fails because its addresses and ports are in use: it is in SYN_SENT for no
// time, and sends nothing.
func (l *lab) unsent(changes []change) bool {
	if len(changes) < 2 {
		return false
	}
	a, b := changes[0], changes[1]
	return a.to == "SYN_SENT" && b.from == "SYN_SENT" && b.to == "CLOSED" &&
		a.local == b.local && a.remote == b.remote && b.mono-a.mono < 200*time.Microsecond
}

func (c *chronicle) begin(p pair, state string, t time.Time, active bool) *life {
	if f := c.now[p]; f != nil && f.mini && !f.over() {
		f.add("CLOSED", t)
		f.reused = true
	}
	f := &life{pair: p, active: active}
	if !active {
		f.isn, t = c.syn(p, t)
	}
	f.states = []stay{{state, t}}
	c.all = append(c.all, f)
	c.now[p] = f
	return f
}

// syn returns the last SYN that reached the host before t, and when it did.
func (c *chronicle) syn(p pair, t time.Time) (uint32, time.Time) {
	for _, f := range slices.Backward(c.w.arrived) {
		if f.to == c.h && f.flags == "S" && f.src == p.remote && f.dst == p.local && !f.came.After(t) {
			return f.tcp.Seq, f.came
		}
	}
	return 0, t
}

// minisock returns the state of the minisock that a socket left behind at t, or "".
func (c *chronicle) minisock(p pair, t time.Time) string {
	for _, s := range c.snaps {
		if s.from.After(t) {
			if state := s.socks[p]; state != "SYN_RCVD" { // the next connection's
				return state
			}
			return ""
		}
	}
	return ""
}

// traced takes a transition of a socket.
func (c *chronicle) traced(p pair, ch change, t time.Time) {
	f := c.now[p]
	switch {
	case ch.to == "SYN_SENT":
		c.begin(p, ch.to, t, true)
	case ch.from == "LISTEN":
		if f == nil || f.last() != "SYN_RCVD" {
			f = c.begin(p, "SYN_RCVD", t, false)
		}
		f.mini = false
	case f == nil || f.last() != ch.from:
		// An orphan with the same addresses, in a namespace that a former run
		// left, ends.
	case ch.to == "CLOSED" && c.minisock(p, t) != "":
		f.mini = true
		f.add(c.minisock(p, t), t)
	default:
		f.mini = false
		f.add(ch.to, t)
	}
}

// seen takes a snapshot.
func (c *chronicle) seen(s snap) {
	// A socket that changes while the snapshot is taken may be in it or not. The
	// trace has microseconds.
	const us = time.Microsecond
	blurred := func(p pair) bool {
		return slices.ContainsFunc(c.changed[p], func(t time.Time) bool {
			return t.After(s.from.Add(-2*us)) && t.Before(s.to.Add(2*us))
		})
	}
	for p, state := range s.socks {
		f := c.now[p]
		switch {
		case blurred(p):
		case state == "SYN_RCVD" && (f == nil || f.over() || f.last() == "TIME_WAIT"):
			c.begin(p, state, s.from, false).mini = true
		case state == "TIME_WAIT" && f != nil && f.mini:
			f.add(state, s.from)
		}
	}
	for p, f := range c.now {
		if _, ok := s.socks[p]; !ok && f.mini && !f.over() && !blurred(p) {
			f.add("CLOSED", s.from)
		}
	}
}

// ownISN returns the number of the SYN with which a host began, 0 if it got
// nowhere before the next life of its addresses and ports.
func (l *lab) ownISN(h *host, f *life) uint32 {
	for _, g := range l.sent(f.local, f.remote) {
		if g.from == h && g.tcp.SYN && !g.sent.Before(f.states[0].since.Add(-time.Millisecond)) &&
			(f.until.IsZero() || g.sent.Before(f.until)) {
			return g.tcp.Seq
		}
	}
	return 0
}

// sent returns the segments from src to dst that got anywhere, in order.
func (l *lab) sent(src, dst netip.AddrPort) []*frame {
	var fs []*frame
	for _, f := range append(slices.Clone(l.wire.captured), l.wire.arrived...) {
		if f.tcp != nil && f.src == src && f.dst == dst && !slices.Contains(fs, f) {
			fs = append(fs, f)
		}
	}
	slices.SortStableFunc(fs, func(a, b *frame) int { return a.sent.Compare(b.sent) })
	return fs
}

// caught returns the captured segments between two ends, either way.
func (l *lab) caught(p pair) []*frame {
	var fs []*frame
	for _, f := range l.wire.captured {
		if f.tcp != nil && (pair{f.src, f.dst} == p || pair{f.dst, f.src} == p) {
			fs = append(fs, f)
		}
	}
	return fs
}

// wants pairs the lives of both hosts to connections, and says for each what its
// capture can show.
func (l *lab) wants(changes []change, offset time.Duration) []*want {
	cs, ss := l.lives(l.client, changes, offset), l.lives(l.server, changes, offset)
	type conn struct {
		pair  // of the client
		ends  [2][]*life
		isn   uint32
		first int // frame
	}
	var conns []*conn
	for _, c := range cs {
		n := &conn{pair: c.pair, isn: c.isn}
		n.ends[0] = append(n.ends[0], c)
		conns = append(conns, n)
	}
	for _, s := range ss {
		i := slices.IndexFunc(conns, func(n *conn) bool {
			// Two that both sent SYN made one connection (RFC 9293 Figure 7).
			return n.local == s.remote && n.remote == s.local && (n.isn == s.isn || s.active)
		})
		if i < 0 || again(conns[i].ends[1]) {
			n := &conn{pair: pair{s.remote, s.local}, isn: s.isn}
			conns = append(conns, n)
			i = len(conns) - 1
		}
		conns[i].ends[1] = append(conns[i].ends[1], s)
	}
	// Segments that no kernel made anything of.
	for _, f := range l.wire.captured {
		if f.tcp == nil || slices.ContainsFunc(conns, func(n *conn) bool {
			return n.local == f.src && n.remote == f.dst || n.local == f.dst && n.remote == f.src
		}) {
			continue
		}
		conns = append(conns, &conn{pair: pair{f.src, f.dst}})
	}
	for i, n := range conns {
		repeated := slices.ContainsFunc(conns[:i], func(m *conn) bool { return m.pair == n.pair && m.isn == n.isn })
		n.first = slices.IndexFunc(l.wire.captured, func(f *frame) bool {
			return f.flags == "S" && f.tcp.Seq == n.isn && f.src == n.local && f.dst == n.remote &&
				(!repeated || !f.came.IsZero() && !f.came.Before(n.ends[1][0].states[0].since))
		})
		if n.first < 0 {
			n.first = slices.IndexFunc(l.wire.captured, func(f *frame) bool {
				return f.tcp != nil && (f.src == n.local && f.dst == n.remote || f.src == n.remote && f.dst == n.local)
			})
		}
	}
	slices.SortStableFunc(conns, func(a, b *conn) int { return cmp.Compare(a.first, b.first) })
	within := (shownWithin + 2*(l.wire.near[0]+l.wire.near[1]+l.wire.late)).Round(time.Millisecond)
	var ws []*want
	for _, n := range conns {
		if n.first < 0 {
			continue
		}
		w := &want{Client: n.local, Server: n.remote, Within: within}
		for r, name := range [...]string{"client", "server"} {
			w.Ends[r], w.At[r] = l.pattern(w, name, n.ends[r])
		}
		w.ClosedFirst = l.closedFirst(w, n.pair, n.ends)
		if len(n.ends[0]) == 0 {
			w.Notes = append(w.Notes, "client: no kernel has such a socket")
		}
		w.EitherWay = slices.ContainsFunc(n.ends[1], func(s *life) bool { return s.active })
		ws = append(ws, w)
	}
	return ws
}

// again reports whether a server had more than a request for a SYN. If it has
// another one, the SYN that came was a copy, and began a new connection.
func again(lives []*life) bool {
	return slices.ContainsFunc(lives, func(f *life) bool {
		return slices.ContainsFunc(f.states, func(s stay) bool { return s.state == "ESTABLISHED" })
	})
}

// shownWithin is how long before or after a transition a segment shows it, on a
// wire that takes no time: the kernel delays an ACK by up to 40 ms.
const shownWithin = 60 * time.Millisecond

// pattern says what a capture shows of an end's lives, one after the other.
//
//   - What comes before the capture began or after it ended does not count.
//   - A transition with no segment near it is silent, and optional.
//   - A state that lasts for no time, because one segment led to it and from it,
//     is optional.
//   - The time of a transition counts if a segment near it shows it.
func (l *lab) pattern(w *want, name string, lives []*life) (pattern, []when) {
	if len(lives) == 0 {
		return nil, nil
	}
	frames := l.caught(lives[0].pair)
	first := l.wire.captured[0].caught
	begin, end := l.wire.captured[0].sent, l.wire.captured[len(l.wire.captured)-1].caught.Add(w.Within)
	for _, f := range l.wire.arrived {
		if t := f.came.Add(w.Within); !f.caught.IsZero() && t.After(end) {
			end = t
		}
	}
	var all []stay
	var of []*life
	for _, f := range lives {
		all = append(all, f.states...)
		for range f.states {
			of = append(of, f)
		}
	}
	var p pattern
	var at []when
	for i, s := range all {
		if i+1 < len(all) && all[i+1].since.Before(begin) {
			continue
		}
		if s.since.After(end) || !l.over.IsZero() && s.since.After(l.over) {
			break
		}
		note := func(format string, args ...any) {
			w.Notes = append(w.Notes, name+": "+fmt.Sprintf(format, args...))
		}
		state, t := s.state, never
		if l.near(of[i], s, frames, w.Within) {
			t = when(s.since.Sub(first))
		}
		switch {
		case i+1 < len(all) && !l.came(lives[0].pair, s.since, all[i+1].since) &&
			(state == "FIN_WAIT_2" && (all[i+1].state == "TIME_WAIT" || all[i+1].state == "CLOSED") ||
				state == "ESTABLISHED" && all[i+1].state == "CLOSE_WAIT"):
			note("%s lasts %v, within one segment", state, all[i+1].since.Sub(s.since).Round(time.Microsecond))
			state += "?"
		case s.since.Before(begin) && state != "SYN_SENT":
		case state == "CLOSED" && of[i].reused:
			note("whether CLOSED comes before the next connection is a matter of words")
			state += "?"
		case !l.shown(of[i], s, frames, w.Within):
			note("%s"+silent+"%v of it", state, w.Within)
			state += "?"
		}
		p = append(p, state)
		at = append(at, t)
	}
	return p, at
}

const silent = " is silent: no segment within "

// came reports whether a segment came to the local end between two times.
func (l *lab) came(p pair, from, to time.Time) bool {
	return slices.ContainsFunc(l.wire.arrived, func(f *frame) bool {
		return f.dst == p.local && f.src == p.remote && f.came.After(from) && f.came.Before(to)
	})
}

// acts are the states that an end enters with a segment of its own, and the flag
// that tells it.
var acts = map[string]string{
	"SYN_SENT": "S", "SYN_RCVD": "S", "FIN_WAIT_1": "F", "LAST_ACK": "F",
	"CLOSE_WAIT": ".", "CLOSING": ".", "TIME_WAIT": ".",
}

// act returns the flag of the segment with which the end enters a state, or "".
func (f *life) act(s stay) string {
	if s.state == "ESTABLISHED" && f.active {
		return "."
	}
	return acts[s.state]
}

// near reports whether a captured segment near a transition shows it: one of the
// end's own with the flag that tells the state or, where none does, the one that
// came to the end and moved it, or the RST with which it closed.
func (l *lab) near(f *life, s stay, frames []*frame, within time.Duration) bool {
	flag := f.act(s)
	promptly := 5*time.Millisecond + l.wire.late
	return slices.ContainsFunc(frames, func(g *frame) bool {
		switch {
		case !f.until.IsZero() && (g.dst == f.local && g.came.After(f.until) || g.src == f.local && g.sent.After(f.until)):
			return false // the next connection's
		case flag != "":
			return g.shows(f, s) && g.caught.Sub(s.since).Abs() <= within
		case g.src == f.local:
			return g.from != nil && strings.Contains(g.flags, "R") && g.sent.Sub(s.since).Abs() <= promptly
		}
		if s.state == "CLOSED" && !strings.Contains(g.flags, "R") && f.before(s) != "LAST_ACK" {
			return false // the end may have answered with RST; nothing else shows it
		}
		return g.came.Sub(s.since).Abs() <= promptly
	})
}

// before returns the state that the end was in before s, or "".
func (f *life) before(s stay) string {
	if i := slices.Index(f.states, s); i > 0 {
		return f.states[i-1].state
	}
	return ""
}

// shown reports whether a captured segment shows a transition: one near it or, if
// the end enters the state with a segment of its own, any such segment later,
// until the next connection begins.
func (l *lab) shown(f *life, s stay, frames []*frame, within time.Duration) bool {
	return l.near(f, s, frames, within) || slices.ContainsFunc(frames, func(g *frame) bool {
		return f.act(s) != "" && g.shows(f, s) && (f.until.IsZero() || g.sent.Before(f.until))
	})
}

// shows reports whether a frame is the end's own, sent after it entered a state,
// with the flag of that. An acknowledgment in a RST tells nothing.
func (f *frame) shows(e *life, s stay) bool {
	flag := e.act(s)
	// What a minisock sends may leave before the snapshot that has it.
	slack := 100 * time.Microsecond
	if s.state == "SYN_RCVD" || s.state == "TIME_WAIT" {
		slack = 2 * time.Millisecond
	}
	return f.from != nil && f.src == e.local && strings.Contains(f.flags, flag) && (s.state != "SYN_SENT" || f.flags == "S") && s.since.Sub(f.sent) <= slack &&
		(flag != "." || !strings.Contains(f.flags, "R"))
}

// closedFirst is "both" if both ends entered FIN_WAIT_1, else the end that did,
// else the end whose close() made a RST, else "none". It is not compared where
// something else ended the connection.
func (l *lab) closedFirst(w *want, p pair, ends [2][]*life) string {
	entered := func(r int) bool {
		return slices.Contains(w.Ends[r], "FIN_WAIT_1")
	}
	switch {
	case entered(0) && entered(1):
		return "both"
	case entered(0):
		return "client"
	case entered(1):
		return "server"
	}
	var resets []*frame
	for _, f := range l.caught(p) {
		if f.tcp.RST {
			resets = append(resets, f)
		}
	}
	if len(resets) == 0 {
		return "none"
	}
	for r, name := range [...]string{"client", "server"} {
		for _, f := range ends[r] {
			for _, c := range l.closes {
				end := f.states[len(f.states)-1]
				if f.over() && end.since.Sub(c.t).Abs() < 2*time.Millisecond && c.h == l.wire.hosts[r] &&
					slices.ContainsFunc(resets, func(g *frame) bool {
						return g.from == c.h && g.sent.Sub(c.t) >= 0 && g.sent.Sub(c.t) < 5*time.Millisecond
					}) {
					return name
				}
			}
		}
	}
	return ""
}

// Adjustments: each says why.

// optional marks states of an end that a capture may not show.
func (w *want) optional(end, why string, states ...string) {
	w.edit(end, why, states, func(s string) string { return strings.TrimSuffix(s, "?") + "?" })
}

// proved marks states of an end that the capture shows although no segment is
// near the transition.
func (w *want) proved(end, why string, states ...string) {
	w.edit(end, why, states, func(s string) string { return strings.TrimSuffix(s, "?") })
	w.untimed(end, "", states...)
}

func (w *want) edit(end, why string, states []string, f func(string) string) {
	p := w.Ends[role(end)]
	for i, s := range p {
		s = strings.TrimSuffix(s, "?")
		if slices.Contains(states, s) {
			p[i] = f(p[i])
			w.forget(end + ": " + s + silent)
		}
	}
	w.Notes = append(w.Notes, end+": "+why)
}

// untimed leaves out when an end entered these states.
func (w *want) untimed(end, why string, states ...string) {
	r := role(end)
	for i, s := range w.Ends[r] {
		if slices.Contains(states, strings.TrimSuffix(s, "?")) {
			w.At[r][i] = never
		}
	}
	if why != "" {
		w.Notes = append(w.Notes, end+": "+why)
	}
}

// accept replaces what is expected of an end.
func (w *want) accept(end, why, states string) {
	w.Ends[role(end)], w.At[role(end)] = strings.Fields(states), nil
	w.forget(end + ": ")
	w.Notes = append(w.Notes, end+": "+why)
}

// forget drops notes that another is to replace.
func (w *want) forget(prefix string) {
	w.Notes = slices.DeleteFunc(w.Notes, func(n string) bool { return strings.HasPrefix(n, prefix) })
}

// anyFirst leaves out who closed first.
func (w *want) anyFirst(why string) {
	w.ClosedFirst = ""
	w.Notes = append(w.Notes, "closed first: "+why)
}
