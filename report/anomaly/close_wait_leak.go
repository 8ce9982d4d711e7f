package anomaly

import (
	"fmt"
	"time"

	"tcplife/decode/capture"
	"tcplife/internal/fold"
	"tcplife/track"
)

// CloseWaitLeak finds programs of which ever more sockets stay in CLOSE_WAIT.
var CloseWaitLeak = &Rule{
	Name:     "close-wait-leak",
	Severity: Error,
	Ref:      "RFC 9293 §3.6.1",
	Doc: `sockets in CLOSE_WAIT pile up

At one server port, or one client, connections stay in CLOSE_WAIT, and the number
grows: the program does not close its sockets when the peer has closed, and will
run out of file descriptors. The message tells how many there were in the course of
time. Look at the error and end-of-file paths of the program, and at its limit
(prlimit -n); restarting it helps until it is full again.

A few are told one by one, as close-wait. The rule is silent if their number falls
again.`,
	Settings: []*Setting{closeWaitLeakSockets},
	Explains: []string{"close-wait", "fin-wait-2"},
	Also:     Plain,
	Start:    startCloseWaitLeak,
}

var closeWaitLeakSockets = count("sockets", 10, "at the end, none of which has fallen silent less than close-wait.after ago: one may be an accident, ten are a habit")

type leak struct {
	group
	held  curve
	role  track.Role
	until capture.Time // the end of what was seen
}

type leaks struct{ programs fold.Map[server, leak] }

func startCloseWaitLeak() Watch {
	l := &leaks{fold.New[server](maxGroups, func(v *leak) uint64 { return uint64(v.n) })}
	return Watch{Look: l.look, Judge: l.judge, Covers: l.covers}
}

// stuck returns which end, if one is, lingers in CLOSE_WAIT at the end of the
// record, and since when.
func stuck(p *Pass) (e *track.End, since capture.Time) {
	c := p.Conn
	for _, e := range c.Ends() {
		if e.State() != track.CloseWait || c.OneSided() || c.Gaps() > 0 {
			continue
		}
		in, _, _ := e.Stay(track.CloseWait)
		if p.Now.Sub(max(in.Time, e.Data())) >= p.Duration(closeWaitAfter) {
			return e, in.Time
		}
	}
	return nil, 0
}

// program returns the server port that the end serves, or the client host.
func program(c *track.Conn, e *track.End) server {
	if c.Role(e) == track.Client {
		return server{e.Addr(), 0}
	}
	return server{e.Addr(), e.Port()}
}

func (l *leaks) look(p *Pass) {
	c := p.Conn
	for r, e := range c.Ends() {
		if !p.been[r].Has(track.CloseWait) {
			continue
		}
		v := l.programs.Has(program(c, e))
		if v == nil && e.State() != track.CloseWait {
			continue
		}
		in, left, out := e.Stay(track.CloseWait)
		if in.To != track.CloseWait {
			continue
		}
		lingers, _ := stuck(p)
		if v == nil {
			if lingers != e {
				continue
			}
			v = l.programs.At(program(c, e))
		}
		v.until = max(v.until, p.Now)
		if left {
			v.held.add(in.Time, out.Time)
			continue
		}
		v.held.add(in.Time, forever)
		if lingers == e {
			v.add(p)
			v.role = track.Role(r)
		}
	}
}

// isLeak reports whether the sockets pile up: there are enough, they did not come
// all at once, and there never were more.
func (v *leak) isLeak(c *Config) bool {
	if v.n < c.Count(closeWaitLeakSockets) {
		return false
	}
	most, _ := v.held.peak()
	return 10*v.n >= 9*most
}

func (l *leaks) covers(p *Pass) bool {
	e, _ := stuck(p)
	if e == nil {
		return false
	}
	v := l.programs.Has(program(p.Conn, e))
	return v != nil && v.isLeak(p.Config)
}

func (l *leaks) judge(p *Pass) {
	l.programs.All(func(k server, v *leak) {
		if v.told || !v.isLeak(p.Config) {
			return
		}
		msg := fmt.Sprintf("%d stay in CLOSE_WAIT", v.n)
		begin := v.held.first()
		d := v.until.Sub(begin)
		for i := range 4 {
			at := begin.Add(d * time.Duration(i+1) / 4)
			sep := ", "
			if i == 0 {
				sep = ": "
			}
			msg += fmt.Sprintf("%s%d after %v", sep, v.held.at(at), Dur(d*time.Duration(i+1)/4))
		}
		p.Report(v.finding(k.addr, k.port, AppOf(v.role), msg))
	})
}
