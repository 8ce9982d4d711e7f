//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A chance is the dice that a random scenario is made with.
type chance struct{ *rand.Rand }

// in reports true that many times out of a hundred.
func (c chance) in(percent int) bool { return c.IntN(100) < percent }

// ms returns a whole number of milliseconds from lo to hi.
func (c chance) ms(lo, hi int) time.Duration {
	return time.Duration(lo+c.IntN(hi-lo+1)) * time.Millisecond
}

func pick[T any](c chance, xs ...T) T { return xs[c.IntN(len(xs))] }

// A plan is a random scenario. The seed makes all of it; what the kernels' timers
// and their numbers add is not repeated.
type plan struct {
	opening string
	near    [2]time.Duration
	sysctls [2][][2]string
	options []option
	faults  []fault
	steps   []step
	eof     [2]time.Duration // from reading the peer's FIN to close(); negative: never
	reads   [2]bool          // at first
	accepts bool             // at first
	late    time.Duration    // until the capture begins
	length  time.Duration
	backlog int
	isns    [2]uint32 // 0: the kernel's
	datagram,
	v6 bool
}

// An option is one of the client's or the listener's socket.
type option struct {
	who             int
	name            string
	level, opt, val int
}

// A fault is what the wire does to one segment, or to all in a stretch of time.
type fault struct {
	who      int
	kind     string
	n        int // of that kind, from 0; negative: all between from and to
	from, to time.Duration
	fate     fate
}

// A step is something that happens at a time.
type step struct {
	at   time.Duration
	text string
	do   func(*game)
}

var hostNames = [...]string{"client", "server"}

// randomScenario makes a scenario of the seed.
func randomScenario(seed uint64) (*plan, scenario) {
	p := newPlan(chance{rand.New(rand.NewPCG(seed, 0))})
	return p, scenario{
		name: fmt.Sprintf("random-%d", seed),
		doc:  "a random scenario",
		run:  func(l *lab) { (&game{plan: p, l: l, port: 32768 + uint16(seed%20000)}).play() },
		adjust: func(ws []*want) {
			for _, w := range ws {
				p.adjust(w)
			}
		},
		v6: p.v6,
	}
}

func newPlan(c chance) *plan {
	p := &plan{
		v6: c.in(15), length: c.ms(900, 3300), backlog: 8, accepts: true, reads: [2]bool{c.in(85), c.in(85)},
		datagram: c.in(40),
	}
	way := pick(c, 0, 1, 2, 10, 20, 40)
	at := pick(c, 0, way/2, way, c.IntN(way+1))
	p.near = [2]time.Duration{time.Duration(at) * time.Millisecond, time.Duration(way-at) * time.Millisecond}
	p.opening = pick(c, "plain", "plain", "plain", "plain", "plain", "plain", "plain", "plain",
		"fast", "fast", "simultaneous", "refused", "deferred", "deferred", "full", "cookies")
	p.settings(c)
	for range pick(c, 0, 0, 1, 1, 2, 3) {
		f := newFault(c)
		if p.v6 && slices.Contains(slices.Concat(p.sysctls[:]...), [2]string{"net.ipv4.tcp_timestamps", "0"}) {
			f.fate.again = 0 // nothing would tell a copy from a retransmission
		}
		p.faults = append(p.faults, f)
	}
	for who := range 2 {
		p.eof[who] = pick(c, 0, 0, c.ms(1, 5), c.ms(20, 200), c.ms(20, 200), c.ms(300, 1500), -1)
		for range pick(c, 0, 1, 1, 2, 4) {
			p.write(c, who, c.ms(0, 700))
		}
	}
	p.ending(c)
	for range pick(c, 0, 0, 0, 1, 1, 2) {
		p.trouble(c)
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return int(a.at - b.at) })
	return p
}

func (p *plan) settings(c chance) {
	set := func(percent, who int, name, value string) {
		if c.in(percent) {
			p.sysctls[who] = append(p.sysctls[who], [2]string{"net.ipv4." + name, value})
		}
	}
	for who := range 2 {
		set(15, who, "tcp_timestamps", "0")
		set(15, who, "tcp_sack", "0")
		set(15, who, "tcp_window_scaling", "0")
		set(25, who, "tcp_fin_timeout", "1")
		set(25, who, "tcp_retries2", "2")
		set(30, who, "tcp_orphan_retries", strconv.Itoa(1+c.IntN(2)))
		set(15, who, "tcp_tw_reuse", "1")
		set(5, who, "tcp_max_tw_buckets", strconv.Itoa(c.IntN(2)))
		set(10, who, "tcp_rfc1337", "1")
		set(10, who, "tcp_abort_on_overflow", "1")
	}
	set(10, 0, "tcp_syn_retries", "1")
	set(20, 1, "tcp_synack_retries", "1")
	switch p.opening {
	case "fast":
		set(100, 0, "tcp_fastopen", "5")
		set(100, 1, "tcp_fastopen", "515")
	case "cookies":
		set(100, 1, "tcp_syncookies", "2")
	case "full":
		p.backlog, p.accepts = 0, c.in(30)
	}
	opt := func(percent, who int, name string, level, opt, val int) {
		if c.in(percent) {
			p.options = append(p.options, option{who, name, level, opt, val})
		}
	}
	for who := range 2 {
		opt(15, who, "SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, pick(c, 1, 4096))
		opt(15, who, "TCP_MAXSEG", unix.IPPROTO_TCP, unix.TCP_MAXSEG, pick(c, 100, 536))
		opt(15, who, "TCP_QUICKACK", unix.IPPROTO_TCP, unix.TCP_QUICKACK, c.IntN(2))
		opt(10, who, "TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, pick(c, 300, 1000))
		opt(10, who, "TCP_LINGER2", unix.IPPROTO_TCP, unix.TCP_LINGER2, pick(c, -1, 1))
		if c.in(10) {
			opt(100, who, "TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1)
			opt(100, who, "TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1)
			opt(100, who, "TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 1)
			opt(100, who, "SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		}
		opt(5, who, "TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if p.opening == "deferred" {
		opt(100, 1, "TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, pick(c, 1, 5))
	}
	if c.in(10) {
		p.isns = [2]uint32{-uint32(c.IntN(3000)), c.Uint32()}
	}
	if c.in(7) && p.opening == "plain" {
		p.late = c.ms(100, 700)
	}
}

func newFault(c chance) fault {
	f := fault{who: c.IntN(2), kind: pick(c, "any", "any", "syn", "ack", "data", "fin", "fin", "rst"), n: pick(c, 0, 0, 0, 1, 2, c.IntN(8))}
	switch c.IntN(8) {
	case 0, 1:
		f.fate.lost = before
	case 2, 3:
		f.fate.lost = beyond
	case 4:
		f.fate.hold = c.ms(1, 150)
	case 5:
		f.fate.slow = c.ms(1, 150)
	default:
		f.fate.again = pick(c, c.ms(6, 60), c.ms(6, 1200))
	}
	if c.in(15) {
		f.n, f.from = -1, c.ms(0, 800)
		f.to = f.from + pick(c, c.ms(20, 400), c.ms(300, 1500), time.Hour)
	}
	return f
}

func (f fault) String() string {
	s := fmt.Sprintf("the %s's %s segment %d", hostNames[f.who], f.kind, f.n)
	if f.n < 0 {
		s = fmt.Sprintf("the %s's %s segments from %v to %v", hostNames[f.who], f.kind, f.from, f.to)
	}
	switch {
	case f.fate.lost == before:
		return s + " lost before the capture point"
	case f.fate.lost == beyond:
		return s + " lost behind the capture point"
	case f.fate.hold > 0:
		return s + fmt.Sprintf(" held for %v before the capture point", f.fate.hold)
	case f.fate.slow > 0:
		return s + fmt.Sprintf(" held for %v behind the capture point", f.fate.slow)
	case f.fate.again == 0:
		return s + " unharmed"
	}
	return s + fmt.Sprintf(" copied after %v", f.fate.again)
}

func (f fault) fits(g *frame) bool {
	has := func(c byte) bool { return slices.Contains([]byte(g.flags), c) }
	switch f.kind {
	case "syn":
		return has('S')
	case "ack":
		return g.flags == "." && g.size == 0
	case "data":
		return g.size > 0
	case "fin":
		return has('F')
	case "rst":
		return has('R')
	}
	return true
}

func (p *plan) add(at time.Duration, do func(*game), format string, args ...any) {
	p.steps = append(p.steps, step{at, fmt.Sprintf(format, args...), do})
}

func (p *plan) write(c chance, who int, at time.Duration) {
	n := pick(c, 1, 100, 100, 1000, 3000, 6000)
	p.add(at, func(g *game) { unix.Sendto(g.fd(who), make([]byte, n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil) },
		"%s writes %d", hostNames[who], n)
}

// ending is how the application is done, or a host, or the path.
func (p *plan) ending(c chance) {
	who, at := c.IntN(2), c.ms(50, 900)
	other := 1 - who
	name := hostNames[who]
	shutdown := func(who int, at time.Duration) {
		p.add(at, func(g *game) { unix.Shutdown(g.fd(who), unix.SHUT_WR) }, "%s shuts down", hostNames[who])
	}
	closes := func(who int, at time.Duration) {
		p.add(at, func(g *game) { g.close(who) }, "%s closes", hostNames[who])
	}
	abort := func(who int, at time.Duration) {
		p.add(at, func(g *game) { g.linger0(who); g.close(who) }, "%s aborts", hostNames[who])
	}
	vanish := func(who int, at time.Duration) {
		p.add(at, func(g *game) { g.vanish(who) }, "%s loses the connection", hostNames[who])
	}
	switch c.IntN(14) {
	case 0, 1, 2, 3:
		closes(who, at)
	case 4, 5:
		d := p.near[0] + p.near[1]
		closes(who, at)
		closes(other, at+time.Duration(c.Int64N(int64(d)+int64(5*time.Millisecond))))
	case 6, 7:
		shutdown(who, at)
		for range c.IntN(3) {
			p.write(c, other, at+c.ms(0, 500))
		}
		closes(who, at+c.ms(0, 1500))
	case 8:
		abort(who, at)
	case 9:
		vanish(who, at)
	case 10: // unread data
		p.reads[who] = false
		p.write(c, other, at-c.ms(0, 50))
		closes(who, at)
	case 11: // the data and the FIN in one
		p.add(at, func(g *game) {
			unix.SetsockoptInt(g.fd(who), unix.IPPROTO_TCP, unix.TCP_CORK, 1)
			unix.Sendto(g.fd(who), make([]byte, 500), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
			unix.Shutdown(g.fd(who), unix.SHUT_WR)
		}, "%s writes 500 with its FIN", name)
		closes(who, at+c.ms(0, 1000))
	case 12:
		p.add(at, func(g *game) { g.dead[who] = true }, "%s is cut off", name)
		for range 1 + c.IntN(2) {
			pick(c, shutdown, closes, abort)(c.IntN(2), at+c.ms(0, 500))
			p.write(c, other, at+c.ms(0, 500))
		}
		if c.in(50) {
			p.add(at+c.ms(300, 1500), func(g *game) { g.dead[who] = false }, "%s is back", name)
		}
	}
	// What comes too late, or again.
	for range pick(c, 0, 0, 1, 2) {
		pick(c, shutdown, closes, abort, vanish)(c.IntN(2), at+c.ms(0, 1500))
	}
	for range pick(c, 0, 1, 2) {
		p.write(c, c.IntN(2), at+c.ms(0, 1200))
	}
	if p.opening != "simultaneous" && c.in(40) {
		isn := uint32(0)
		if c.in(30) {
			isn = c.Uint32()
		}
		p.add(at+c.ms(100, 1800), func(g *game) { g.again(isn) }, "client connects again")
	}
}

// trouble is what neither application means.
func (p *plan) trouble(c chance) {
	at := c.ms(0, 1800)
	switch c.IntN(8) {
	case 0:
		p.add(at, func(g *game) { unix.Close(g.listener); g.listener = -1 }, "server closes its listener")
	case 1:
		who := c.IntN(2)
		p.reads[who] = false
		p.add(at, func(g *game) { g.reads[who] = true }, "%s begins to read", hostNames[who])
	case 2:
		p.accepts = false
		p.add(at, func(g *game) { g.accepts = true }, "server begins to accept")
	case 3:
		code := pick[uint8](c, 0, 1, 3, 13)
		n := pick(c, 0, 0, c.IntN(10))
		p.add(at/8, func(g *game) { g.unreachable(n, code) }, "ICMP unreachable %d quotes the client's segment %d", code, n)
	default:
		f := forgery{
			who:   c.IntN(2),
			flags: pick(c, "R", "R", "R", "R.", "R.", "S", "S", "F.", ".", "S.", "P."),
			seq:   pick[int32](c, 0, 0, 0, 1, -1, 100, -100, 60000, 300000, -100000),
			ack:   pick[int32](c, 0, 0, 0, -1, -50, 1, 1000, 200000),
			ts:    pick(c, "none", "none", "last", "old"),
			bad:   c.in(10),
		}
		if f.flags == "P." {
			f.size = 10
		}
		p.add(at, func(g *game) { g.forge(f) }, "forged: %+v", f)
	}
}

// A forgery is a forged segment, by the distance from the numbers of who it
// claims to be.
type forgery struct {
	who      int
	flags    string
	seq, ack int32
	ts       string
	bad      bool
	size     int
}

// A game is a plan being played.
type game struct {
	*plan
	l        *lab
	port     uint16
	listener int
	socks    [2]int // -1: none
	accepts  bool
	reads    [2]bool
	closing  [2]time.Time // zero: not decided
	dead     [2]bool
}

func (g *game) fd(who int) int { return g.socks[who] }

func (g *game) close(who int) {
	if fd := g.socks[who]; fd >= 0 {
		g.l.closes = append(g.l.closes, closing{g.l.wire.hosts[who], time.Now()})
		unix.Close(fd)
		g.socks[who] = -1
	}
}

func (g *game) linger0(who int) {
	unix.SetsockoptLinger(g.fd(who), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func (g *game) vanish(who int) {
	if fd := g.socks[who]; fd >= 0 && unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON) == nil {
		unix.Close(fd)
		g.socks[who] = -1
	}
}

// socket makes a socket that the lab closes at the end if nobody did.
func (g *game) socket(who int, port uint16) *sock {
	s := g.l.tcp(g.l.wire.hosts[who], port)
	for _, o := range g.options {
		if o.who == who {
			unix.SetsockoptInt(s.fd, o.level, o.opt, o.val)
		}
	}
	g.l.must(unix.SetNonblock(s.fd, true))
	// The game's own.
	g.l.socks = g.l.socks[:len(g.l.socks)-1]
	return s
}

func (g *game) connect(isn uint32) {
	g.close(0)
	s := g.socket(0, g.port)
	if isn != 0 {
		s.isn(isn)
	}
	if g.opening == "fast" {
		unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
	}
	g.socks[0], g.closing[0] = s.fd, time.Time{}
	if err := unix.Connect(s.fd, sockaddr(g.l.serverAddr())); err != nil && err != unix.EINPROGRESS {
		g.say("connect: %v", err)
	}
}

// again connects once more, if the old socket leaves the port free.
func (g *game) again(isn uint32) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case failure:
			g.say("no port: %v", errors.Unwrap(e.err))
		default:
			panic(e)
		}
	}()
	g.connect(isn)
}

func (g *game) say(format string, args ...any) {
	g.l.log = append(g.l.log, fmt.Sprintf(format, args...))
}

func (g *game) play() {
	l := g.l
	for who, h := range l.wire.hosts {
		for _, s := range g.sysctls[who] {
			l.sysctl(h, s[0], s[1])
			g.say("%s: %s=%s", h.name, s[0][len("net.ipv4."):], s[1])
		}
	}
	for _, o := range g.options {
		g.say("%s: %s %d", hostNames[o.who], o.name, o.val)
	}
	g.say("%s, %v and %v to the capture point, close %v and %v after the peer's FIN, reads %v", g.opening, g.near[0], g.near[1], g.eof[0], g.eof[1], g.plan.reads)
	l.latency(g.near[0], g.near[1])
	g.socks, g.accepts, g.reads = [2]int{-1, -1}, g.plan.accepts, g.plan.reads
	defer func() {
		l.over = time.Now()
		for who := range 2 {
			g.linger0(who)
			unix.Close(g.socks[who])
		}
		unix.Close(g.listener)
	}()
	began := time.Now()
	for _, f := range g.faults {
		g.say("%v", f)
		n := 0
		l.rule(func(fr *frame, ft *fate) {
			if fr.tcp == nil || l.wire.index(fr.from) != f.who || !f.fits(fr) {
				return
			}
			at := fr.sent.Sub(began)
			if n == f.n || f.n < 0 && at >= f.from && at < f.to {
				*ft = f.fate
			}
			n++
		})
	}
	l.rule(func(fr *frame, ft *fate) {
		switch i := l.wire.index(fr.from); {
		case fr.tcp == nil:
		case g.dead[i]:
			ft.lost = before
		case g.dead[1-i]:
			ft.lost = beyond
		}
	})
	if g.late > 0 {
		l.capturing(false)
		g.add(g.late, func(g *game) { l.capturing(true) }, "the capture begins")
		slices.SortStableFunc(g.steps, func(a, b step) int { return int(a.at - b.at) })
	}
	g.listener = -1
	switch g.opening {
	case "simultaneous":
		s := g.socket(1, serverPort)
		g.socks[1] = s.fd
		g.connect(g.isns[0])
		unix.Connect(s.fd, sockaddr(l.clientAddrAt(g.port)))
	case "refused":
		g.connect(g.isns[0])
	default:
		s := g.socket(1, serverPort)
		if g.opening == "fast" {
			unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 5)
		}
		l.must(unix.Listen(s.fd, g.backlog))
		g.listener = s.fd
		g.connect(g.isns[0])
		if g.opening == "full" {
			g.crowd()
		}
	}
	steps := g.steps
	for now := time.Duration(0); now < g.length; now = time.Since(began) {
		for len(steps) > 0 && steps[0].at <= now {
			s := steps[0]
			g.say("%.3f %s", now.Seconds(), s.text)
			l.wire.do(func() { g.dead = [2]bool(g.dead) }) // orders the wire's reads of what do writes
			s.do(g)
			steps = steps[1:]
		}
		g.attend(began)
		time.Sleep(2 * time.Millisecond)
	}
	l.wire.do(func() { g.dead = [2]bool{true, true} })
	if g.datagram {
		l.clock()
	}
}

// crowd fills the accept queue with connections of other ports.
func (g *game) crowd() {
	s := g.socket(0, g.port+1)
	unix.Connect(s.fd, sockaddr(g.l.serverAddr()))
	g.l.socks = append(g.l.socks, s)
}

// attend accepts, reads, and answers the peer's FIN.
func (g *game) attend(began time.Time) {
	if g.accepts && g.listener >= 0 {
		if fd, sa, err := unix.Accept4(g.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK); err == nil {
			port := uint16(0)
			switch a := sa.(type) {
			case *unix.SockaddrInet4:
				port = uint16(a.Port)
			case *unix.SockaddrInet6:
				port = uint16(a.Port)
			}
			if port != g.port {
				g.l.socks = append(g.l.socks, &sock{l: g.l, h: g.l.server, fd: fd})
			} else {
				g.close(1)
				g.say("%.3f server accepts", time.Since(began).Seconds())
				g.socks[1], g.closing[1] = fd, time.Time{}
			}
		}
	}
	buf := make([]byte, 4096)
	for who := range 2 {
		fd := g.socks[who]
		if fd < 0 {
			continue
		}
		for g.reads[who] && g.closing[who].IsZero() {
			n, err := unix.Read(fd, buf)
			if n > 0 {
				continue
			}
			if n == 0 && err == nil && g.eof[who] >= 0 {
				g.closing[who] = time.Now().Add(g.eof[who])
			}
			break
		}
		if t := g.closing[who]; !t.IsZero() && !time.Now().Before(t) {
			g.say("%.3f %s closes too", time.Since(began).Seconds(), hostNames[who])
			g.close(who)
		}
	}
}

func (g *game) forge(f forgery) {
	src, dst := g.l.clientAddrAt(g.port), g.l.serverAddr()
	if f.who == 1 {
		src, dst = dst, src
	}
	p := g.l.position(src, dst)
	s := forged{src: src, dst: dst, seq: p.nxt + uint32(f.seq), flags: f.flags, bad: f.bad, size: f.size}
	if f.flags != "R" && f.flags != "S" {
		s.ack = p.ack + uint32(f.ack)
	}
	if ts := g.l.timestamp(src, dst); ts != 0 {
		switch f.ts {
		case "last":
			s.tsval = ts
		case "old":
			s.tsval = ts - 100000
		}
	}
	g.l.wire.forge(s)
}

func (g *game) unreachable(n int, code uint8) {
	var f *frame
	g.l.wire.do(func() {
		for _, c := range g.l.wire.captured {
			if c.from == g.l.client && c.tcp != nil {
				if f = c; n == 0 {
					return
				}
				n--
			}
		}
	})
	if f != nil && f.src.Addr().Is4() {
		g.l.wire.unreachable(f, code)
	}
}

// kept are random scenarios that showed a tracker something, and play every time
// much as they did then.
var kept = []struct {
	seed      uint64
	name, doc string
}{
	{12, "fin-lost-overtaken", "a FIN is lost before the capture point, and an ACK from behind it acknowledges the peer's: FIN_WAIT_2 before TIME_WAIT"},
	{1145, "time-wait-duplicate-fin", "a copy of the FIN meets the closed server, whose RST has the FIN's number: TIME_WAIT goes on"},
	{3, "reset-behind-fin", "data for a closed client meets RST; the ACK of its FIN comes later, and it was never in FIN_WAIT_2"},
	{3173, "forged-ack-ahead", "a forged ACK 60,000 octets ahead in the window; everything after it goes on below"},
	{2178, "icmp-simultaneous-open", "an ICMP host unreachable ends one end of a simultaneous open in SYN_RCVD"},
	{4013, "time-wait-duplicate-syn", "a copy of the SYN meets TIME_WAIT; the client's RST for the answer ends that"},
	{282, "forged-reset-before-ack", "a forged RST overtakes the ACK of the FIN: closed, and never in FIN_WAIT_2"},
}

// keptScenarios returns them with their names.
func keptScenarios() []scenario {
	var s []scenario
	for _, k := range kept {
		_, sc := randomScenario(k.seed)
		sc.name, sc.doc, sc.how = k.name, k.doc, fmt.Sprintf("random, seed %d", k.seed)
		s = append(s, sc)
	}
	return s
}
