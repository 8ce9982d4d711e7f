package main

import (
	"errors"
	"io"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// An analysis is one run of the pipeline: capture → decode → track → anomaly →
// report. Every input has a tracker of its own; ids run on.
type analysis struct {
	config   track.Config
	checker  *anomaly.Checker
	sink     report.Sink
	warn     func(string)                                                       // nil: warnings are dropped
	progress *progress                                                          // nil: none is shown
	observe  func(id uint64, c *track.Conn, seg *decode.Segment, n track.Notes) // nil: nobody does

	summary  report.Summary
	lastID   uint64
	writeErr error // the sink's; the run is over then
}

// A source yields the packets of a file or an interface.
type source interface {
	Next(*capture.Packet) error
	Info() capture.Info
}

// file analyses one capture file, as far as it is intact. An error is the file's,
// or writeErr.
func (a *analysis) file(name string) error {
	r, err := capture.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	if a.progress != nil {
		a.progress.source.Store(&measured{name: report.Printable(name), of: r})
	}
	return a.input(name, r)
}

// input analyses what src yields, and reports it even if src ends in an error.
func (a *analysis) input(name string, src source) error {
	d := decode.NewDecoder()
	t := track.New(a.config)
	in := report.Capture{Name: name}
	conn := report.Connection{Capture: name}
	base := a.lastID
	t.Done = func(c *track.Conn) {
		if a.writeErr != nil {
			return
		}
		conn.Conn, conn.ID, conn.Now = c, base+c.ID, t.Now()
		conn.Findings = a.checker.Check(c, conn.Now)
		ctx := d.Context(c.Context)
		conn.VLAN, conn.Tunnel = ctx.VLANs, ctx.Tunnel
		a.lastID = max(a.lastID, conn.ID)
		in.Add(c)
		a.summary.Connection(&conn)
		a.writeErr = a.sink.Connection(&conn)
	}
	if a.observe != nil {
		t.Observe = func(c *track.Conn, seg *decode.Segment, n track.Notes) { a.observe(base+c.ID, c, seg, n) }
	}
	var skipped [decode.NumSkips]uint64
	err := a.packets(&in, src, d, t, &skipped)
	t.Finish()
	for _, s := range decode.Skips() {
		if skipped[s] > 0 {
			in.Skipped = append(in.Skipped, report.Skipped{Reason: s.String(), Packets: skipped[s]})
		}
	}

	info := src.Info()
	in.Format = info.Format
	in.Warnings = info.Warnings
	in.LinkTypes = linkTypeNames(info.LinkTypes)
	in.Truncated = errors.Is(err, io.ErrUnexpectedEOF)
	for _, w := range info.Warnings {
		if a.warn != nil {
			a.warn(name + ": " + w)
		}
	}
	if err != nil {
		in.Warnings = append(in.Warnings, err.Error())
	}
	a.summary.Capture(&in)
	if a.writeErr == nil {
		a.writeErr = a.sink.Capture(&in)
	}
	return errors.Join(err, a.writeErr)
}

// packets feeds the tracker with what src yields.
func (a *analysis) packets(in *report.Capture, src source, d *decode.Decoder, t *track.Tracker, skipped *[decode.NumSkips]uint64) error {
	var pkt capture.Packet
	for a.writeErr == nil {
		switch err := src.Next(&pkt); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		in.Count(&pkt)
		switch res := d.Decode(&pkt); res.Kind {
		case decode.AsSegment:
			t.Segment(&d.Segment)
		case decode.AsICMP:
			t.ICMP(&d.ICMP)
		default:
			skipped[res.Skip]++
			t.Tick(pkt.Time, pkt.Frame)
		}
		if a.progress != nil {
			a.progress.packets.Add(1)
		}
	}
	return nil
}

// close writes the summary, and what the sink still holds.
func (a *analysis) close() error {
	if a.writeErr == nil {
		a.writeErr = a.sink.Summary(&a.summary)
	}
	if err := a.sink.Close(); a.writeErr == nil {
		a.writeErr = err
	}
	return a.writeErr
}
