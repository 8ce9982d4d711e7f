package tcplifetest

import (
	"errors"
	"io"
	"strings"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/report/ladder"
	"tcplife/report/policy"
	"tcplife/track"
)

// judge holds a recording to a policy.
func judge(file string, p *policy.Policy) (*policy.Verdict, error) {
	j := policy.NewJudge(p)
	err := run(file, p, j, nil)
	return j.Verdict(), err
}

// maxLines bounds what is told of one connection.
const maxLines = 100

// explain returns a connection segment by segment; of many, the first and the last.
func explain(file string, p *policy.Policy, conn uint64) (string, error) {
	var text strings.Builder
	l := ladder.New(&text, conn, false)
	l.Inputs = report.NewInputs([]string{"recording"})
	if err := run(file, p, l, l); err != nil {
		return "", err
	}
	lines := strings.SplitAfter(text.String(), "\n")
	if n := len(lines) - maxLines; n > 0 {
		lines = append(append(lines[:maxLines/2:maxLines/2], "…\n"), lines[maxLines/2+n:]...)
	}
	return strings.Join(lines, ""), l.Err()
}

// longest is more than a test goes on in silence: beyond it a clock was set.
const longest = time.Hour

// run analyses one small capture: the pipeline of the program without what is for
// many files, filters and damage. l, if not nil, follows its connection.
func run(file string, p *policy.Policy, sink report.Sink, l *ladder.Ladder) error {
	var config anomaly.Config
	for _, s := range p.Set {
		if err := config.Set(s); err != nil {
			return err
		}
	}
	r, err := capture.Options{}.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	d, t := decode.NewDecoder(), track.New(track.Config{})
	checker := anomaly.NewChecker(anomaly.All, config)
	in := report.Capture{Name: file, Format: "pcapng"}
	var sum report.Summary
	t.Done = func(c *track.Conn) {
		conn := report.Connection{Conn: c, ID: c.ID, Capture: file, Now: t.Now()}
		conn.Findings, conn.NotJudged = checker.Check(c, c.ID, t.Now())
		in.Add(c)
		sum.Connection(&conn)
		err = errors.Join(err, sink.Connection(&conn))
	}
	if l != nil {
		t.Observe = func(c *track.Conn, seg *decode.Segment, n track.Notes) { l.Observe(c.ID, c, seg, n) }
		t.ObserveICMP = func(c *track.Conn, e *decode.ICMPError) { l.ICMP(c.ID, c, e) }
	}
	var pkt capture.Packet
	var seg decode.Segment
	for err = r.Next(&pkt); err == nil; err = r.Next(&pkt) {
		in.Count(&pkt)
		switch res := d.Decode(&pkt, &seg); res.Kind {
		case decode.AsSegment:
			t.Add(&seg)
		case decode.AsICMP:
			t.Flush()
			t.ICMP(&d.ICMP)
		default:
			t.AddTick(pkt.Time, pkt.Frame)
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	err = nil
	d.Finish()
	t.Flush()
	if end := r.Info().Ended; end.Sub(t.Now()) < longest {
		t.Tick(end, 0) // what was silent was silent until then
	}
	t.Last = func(c *track.Conn) { checker.Look(c, c.ID, t.Now()) }
	t.Finish()
	for _, f := range checker.Finish(t.Now()) {
		found := report.Finding{Finding: f, Capture: file}
		sum.Finding(&found)
		err = errors.Join(err, sink.Finding(&found))
	}
	sum.Capture(&in)
	return errors.Join(err, sink.Capture(&in), sink.Summary(&sum), sink.Close())
}
