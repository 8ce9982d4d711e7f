package policy

import (
	"fmt"
	"time"

	"tcplife/decode/capture"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// A Metric is a number that a policy can limit.
type Metric struct {
	Name string // as in policies: lower case, with underscores
	Doc  string // what is measured, of which connections, in which unit
	kind kind
	// neutral: more of it is neither better nor worse.
	neutral bool
	// clustered: what is counted comes in bursts, so that its share is no measure of
	// chance; those connections are that have any of it.
	clustered bool
	of        func(*report.Connection) sample
	// say tells the number of one connection, for people; nil for a peak.
	say func(*report.Connection, *sample) string
}

// A kind says how a metric's samples are put together.
type kind uint8

const (
	timed   kind = iota // durations, of which a percentile or the longest counts
	shared              // how many of how many
	counted             // how many
	peak                // how many at a time, at one host
)

// A sample is what one connection contributes to a metric.
type sample struct {
	duration time.Duration // timed
	hits, of uint64        // shared and counted; of is 0 if the connection has nothing to say
	valid    bool          // timed
	side     anomaly.Side  // whose doing it is
	at       capture.Time
	frames   [2]uint64 // that show it; 0: none
}

// Metrics is every metric, in the order of reports.
var Metrics = []*Metric{
	{
		Name: "connections", kind: counted, neutral: true,
		Doc: "connections, as a number",
		of:  func(*report.Connection) sample { return sample{hits: 1, of: 1} },
		say: func(c *report.Connection, _ *sample) string { return report.OutcomeOf(c.Conn).String() },
	},
	{
		Name: "handshake_time", kind: timed,
		Doc: "time from the first SYN to the acknowledgment that completes the handshake, where both were captured",
		of:  handshakeTime,
		say: func(_ *report.Connection, s *sample) string {
			return fmt.Sprintf("handshake took %v", anomaly.Dur(s.duration))
		},
	},
	{
		Name: "handshakes_retried", kind: shared,
		Doc: "completed handshakes for which SYN or SYN,ACK was sent again, of the completed ones",
		of:  handshakeRetried,
		say: func(c *report.Connection, _ *sample) string {
			return counts(uint64(c.Client().SYN()), "SYN") + ", " + counts(uint64(c.Server().SYN()), "SYN,ACK")
		},
	},
	{
		Name: "handshakes_failed", kind: shared,
		Doc: "connections refused, unanswered for 3 s or more, or left half-open, of those whose SYN was captured",
		of:  handshakeFailed,
		say: func(c *report.Connection, _ *sample) string { return report.OutcomeOf(c.Conn).String() },
	},
	{
		Name: "resets", kind: shared,
		Doc: "established connections that a RST ended, of all established ones",
		of:  resets,
		say: func(c *report.Connection, _ *sample) string { return report.OutcomeOf(c.Conn).String() },
	},
	{
		Name: "retransmits", kind: shared, clustered: true,
		Doc: "segments that were retransmissions, of all segments",
		of:  retransmits,
		say: func(_ *report.Connection, s *sample) string {
			return fmt.Sprintf("%d of %d segments were retransmissions", s.hits, s.of)
		},
	},
	{
		Name: "duration", kind: timed, neutral: true,
		Doc: "time from a connection's first segment to its last",
		of: func(c *report.Connection) sample {
			return sample{duration: c.End().Sub(c.Start), valid: true, at: c.Start, frames: [2]uint64{c.First, c.Last()}}
		},
		say: func(_ *report.Connection, s *sample) string { return fmt.Sprintf("took %v", anomaly.Dur(s.duration)) },
	},
	{
		Name: "close_wait_time", kind: timed,
		Doc: "time that an end was in CLOSE_WAIT and sent no data, of connections in which one was; " +
			"not where its FIN may have escaped the capture: one-sided, or with gaps",
		of: closeWaitTime,
		say: func(_ *report.Connection, s *sample) string {
			return fmt.Sprintf("%v in CLOSE_WAIT, silent for %v", s.side, anomaly.Dur(s.duration))
		},
	},
	{
		Name: "open_at_end", kind: shared,
		Doc: "established connections that neither FINs nor a RST had closed when the capture ended, of all established ones",
		of:  openAtEnd,
		say: func(c *report.Connection, _ *sample) string {
			return fmt.Sprintf("client in %v, server in %v at the end", c.Client().State(), c.Server().State())
		},
	},
	{
		Name: "client_closes_first", kind: shared, neutral: true,
		Doc: "connections that the client closed first, of those that were closed",
		of:  func(c *report.Connection) sample { return closesFirst(c, track.ClientFirst) },
		say: func(c *report.Connection, _ *sample) string { return c.ClosedFirst().String() + " closed first" },
	},
	{
		Name: "server_closes_first", kind: shared, neutral: true,
		Doc: "connections that the server closed first, of those that were closed",
		of:  func(c *report.Connection) sample { return closesFirst(c, track.ServerFirst) },
		say: func(c *report.Connection, _ *sample) string { return c.ClosedFirst().String() + " closed first" },
	},
	{
		Name: "time_wait_peak", kind: peak, neutral: true,
		Doc: "sockets in TIME_WAIT at a time (to a second) at any one host, as a number; of very many hosts, at the busiest",
	},
}

func handshakeTime(c *report.Connection) sample {
	d, ok := c.HandshakeTime()
	return sample{duration: d, valid: ok, at: c.Start, frames: [2]uint64{c.First}}
}

func handshakeRetried(c *report.Connection) sample {
	s := sample{at: c.Start, frames: [2]uint64{c.First}}
	if c.Handshake() == track.Complete {
		s.of = 1
		if c.Client().SYN() > 1 || c.Server().SYN() > 1 {
			s.hits = 1
		}
	}
	return s
}

// answerMax is how long an answer to a SYN may take: the initial retransmission
// timeout and its first doubling (RFC 6298 §2.1).
const answerMax = 3 * time.Second

func handshakeFailed(c *report.Connection) sample {
	s := sample{at: c.Start, frames: [2]uint64{c.First, c.Last()}}
	if c.Client().SYN() == 0 || c.OneSided() {
		return s
	}
	switch c.Handshake() {
	case track.Unanswered, track.HalfOpen:
		if c.Now.Sub(c.Start) >= answerMax {
			s.hits, s.of = 1, 1
		}
	case track.Refused:
		s.hits, s.of = 1, 1
	default:
		s.of = 1
	}
	return s
}

// established reports whether the connection was, at any time.
func established(c *report.Connection) bool {
	switch c.Handshake() {
	case track.Unanswered, track.Refused, track.HalfOpen:
		return false
	}
	return true
}

func resets(c *report.Connection) sample {
	s := sample{at: c.Start}
	if !established(c) {
		return s
	}
	s.of = 1
	if rst, ok := c.Reset(); ok && c.Teardown() == track.ByRST {
		s.hits, s.side, s.at, s.frames = 1, anomaly.SideOf(rst.By), rst.Time, [2]uint64{rst.Frame}
	}
	return s
}

func retransmits(c *report.Connection) sample {
	cli, srv := c.Client(), c.Server()
	return sample{
		hits: uint64(cli.Retransmits()) + uint64(srv.Retransmits()), of: cli.Packets() + srv.Packets(),
		at: c.Start, frames: [2]uint64{c.First, c.Last()},
	}
}

// closeWaitTime measures as the rule close-wait does.
func closeWaitTime(c *report.Connection) (s sample) {
	if c.OneSided() || c.Gaps() > 0 {
		return s
	}
	for r, e := range c.Ends() {
		at, frame, ok := e.Entered(track.CloseWait)
		if !ok {
			continue
		}
		until, last := c.Now, frame
		for _, t := range e.Transitions() {
			if t.From == track.CloseWait {
				until, last = t.Time, t.Frame
			}
		}
		if d := max(until.Sub(max(at, e.Data())), 0); !s.valid || d > s.duration {
			s = sample{duration: d, valid: true, side: anomaly.SideOf(track.Role(r)), at: at, frames: [2]uint64{frame, last}}
		}
	}
	return s
}

func openAtEnd(c *report.Connection) sample {
	s := sample{at: c.Start, frames: [2]uint64{c.First, c.Last()}}
	if !established(c) {
		return s
	}
	s.of = 1
	if t := c.Teardown(); c.EndReason == track.CaptureEnd && (t == track.NotClosed || t == track.HalfClosed) {
		s.hits = 1
		if t == track.HalfClosed && c.Client().State() == track.CloseWait {
			s.side = anomaly.ClientSide
		} else if t == track.HalfClosed && c.Server().State() == track.CloseWait {
			s.side = anomaly.ServerSide
		}
	}
	return s
}

func closesFirst(c *report.Connection, who track.ClosedFirst) sample {
	s := sample{at: c.End(), frames: [2]uint64{c.First, c.Last()}}
	switch c.ClosedFirst() {
	case track.NoneFirst:
	case who:
		s.hits, s.of = 1, 1
	default:
		s.of = 1
	}
	return s
}
