package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// An analysis is one run of the pipeline: capture → decode → track → anomaly →
// report. Every observation has a tracker of its own; ids run on.
type analysis struct {
	config   track.Config
	checker  *anomaly.Checker
	sink     report.Sink
	options  capture.Options
	filter   packetFilter
	only     selection
	separate bool                                                               // every file is an observation of its own
	fail     func(string)                                                       // told of every input that was not read to its end
	warn     func(string)                                                       // nil: warnings are dropped
	progress *progress                                                          // nil: none is shown
	observe  func(id uint64, c *track.Conn, seg *decode.Segment, n track.Notes) // nil: nobody does
	icmp     func(id uint64, c *track.Conn, e *decode.ICMPError)                // nil: nobody does
	enough   func() bool                                                        // reports whether the rest may be left out; nil: never
	stopped  func() bool                                                        // reports whether the user has interrupted; nil: never
	endless  bool                                                               // streams are not numbered, since nobody could look them up
	live     func(t *track.Tracker, in *input, base uint64) source              // opens what is read in place of files; nil: files are

	inputs   *report.Inputs
	summary  report.Summary
	lastID   uint64
	failed   bool  // fail was told something
	writeErr error // the sink's; the run is over then
	begun    bool  // a packet was read
	joined   bool  // a segment was put together from fragments
}

// A source yields the packets of an observation, one after the other. After the
// last, Next returns an error, whichever: what there is to tell of it was told.
type source interface {
	Next(*capture.Packet) error
	Close()
}

// An input is a file of an observation, or what is captured live.
type input struct {
	report.Capture
	skipped [decode.NumSkips]uint64
	end     capture.Time    // of the capture, if that is known
	streams *decode.Streams // nil: streams are not numbered
}

// decoded counts what there is to say of a packet that was decoded, into seg if it
// is a segment.
func (in *input) decoded(r *decode.Result, seg *decode.Segment) {
	if r.Kind == decode.AsSegment {
		in.Checksums[seg.Checksum]++
	}
	if r.Reassembled {
		in.Reassembled++
	}
	switch r.Remark {
	case decode.RemarkSliced:
		in.Sliced++
	case decode.RemarkAggregate:
		in.Aggregates++
	}
}

// number notes with the segment which of the file's streams it is of.
func (in *input) number(seg *decode.Segment) {
	if in.streams == nil {
		return
	}
	if n, ok := in.streams.Segment(seg); ok {
		seg.Stream = n + 1
	}
}

// tell sets where what goes wrong is told.
func (a *analysis) tell(stderr io.Writer, quiet bool) {
	a.fail = func(what string) {
		if a.progress != nil {
			a.progress.clear()
		}
		complain(stderr, what)
	}
	if !quiet {
		a.warn = a.fail
	}
}

// note warns, if warnings are wanted.
func (a *analysis) note(what string) {
	if a.warn != nil {
		a.warn(what)
	}
}

// expand returns the files that the arguments mean, and tells which mean none.
func (a *analysis) expand(args []string) []string {
	files, errs := expand(args, a.note)
	for _, err := range errs {
		a.fail(err.Error())
		a.failed = true
	}
	if !a.separate {
		files = once(files, a.note)
	}
	return files
}

// run analyses the files, as far as they are intact.
func (a *analysis) run(files []string) {
	a.inputs = report.NewInputs(files)
	if !a.separate {
		a.observation(files, 0)
		return
	}
	for i := range files {
		if a.over() {
			return
		}
		a.observation(files[i:i+1], i)
	}
}

func (a *analysis) over() bool { return a.writeErr != nil || a.enough != nil && a.enough() }

// flush hands on what is final, before the next packet is waited for.
func (a *analysis) flush(t *track.Tracker) {
	if !a.begun {
		return // the report doesn't begin before there is something to report on
	}
	t.Flush()
	if f, ok := a.sink.(report.Flusher); ok && a.writeErr == nil {
		a.writeErr = f.Flush()
	}
}

// observation analyses files as one, merged by time. They are numbered from first
// on.
func (a *analysis) observation(files []string, first int) {
	inputs := make([]input, len(files))
	if a.config.History && a.filter.all() && !a.endless { // of a part of the packets, streams would be counted otherwise
		for i := range inputs {
			inputs[i].streams = decode.NewStreams()
		}
	}
	t := track.New(a.config)
	d := decode.NewDecoder()
	conn := report.Connection{Inputs: a.inputs}
	base, evicted := a.lastID, 0
	t.Done = func(c *track.Conn) {
		if a.over() {
			return
		}
		in := &inputs[fileOf(c.First)-first]
		conn.Conn, conn.ID, conn.Now, conn.Capture = c, base+c.ID, t.Now(), a.inputs.Name(c.First)
		conn.Findings, conn.NotJudged = a.checker.Check(c, conn.ID, conn.Now)
		ctx := d.Context(c.Context())
		conn.VLAN, conn.Tunnel = ctx.VLANs, ctx.Tunnel
		a.lastID = max(a.lastID, conn.ID)
		if c.EndReason == track.Evicted {
			evicted++
		}
		in.Add(c)
		if !a.only.wants(&conn) {
			a.summary.LeftOut++
			return
		}
		a.summary.Connection(&conn)
		a.writeErr = a.sink.Connection(&conn)
	}
	t.Noted = func(frame uint64, n track.Notes) {
		in := &inputs[fileOf(frame)-first]
		if n&track.NoteBadChecksum != 0 {
			in.BadLeftOut++
		}
		if n&track.NoteOffload != 0 {
			in.Offloaded++
		}
	}
	if a.observe != nil {
		t.Observe = func(c *track.Conn, seg *decode.Segment, n track.Notes) { a.observe(base+c.ID, c, seg, n) }
	}
	if a.icmp != nil {
		t.ObserveICMP = func(c *track.Conn, e *decode.ICMPError) { a.icmp(base+c.ID, c, e) }
	}
	d.Incomplete = func(frame uint64) { inputs[fileOf(frame)-first].Incomplete++ }
	finish := func() { a.finish(t, base) }
	var m source
	if a.live != nil {
		m = a.live(t, &inputs[0], base)
	} else {
		m = a.merge(files, first, inputs, t)
	}
	defer m.Close()
	a.packets(m, inputs, first, d, t, finish)
	d.Finish()
	a.waited(t, inputs)
	finish()
	if limit := size(a.config.MaxBytes); evicted > 0 {
		a.note(fmt.Sprintf("%d connections were evicted, unfinished handshakes and the longest idle first: --memory-limit is %v", evicted, limit.String()))
	}

	for i := range inputs {
		in := &inputs[i]
		if in.Format == "" {
			continue // no capture
		}
		a.joined = a.joined || in.Reassembled > 0
		for _, s := range decode.Skips() {
			if in.skipped[s] > 0 {
				in.Skipped = append(in.Skipped, report.Skipped{Reason: s.String(), Packets: in.skipped[s]})
			}
		}
		for _, f := range in.Findings() {
			a.finding(&f, in.Name)
		}
		a.summary.Capture(&in.Capture)
		if a.writeErr == nil {
			a.writeErr = a.sink.Capture(&in.Capture)
		}
	}
}

// merge opens the files of an observation.
func (a *analysis) merge(files []string, first int, inputs []input, t *track.Tracker) source {
	options := a.options
	options.Wait = func() { a.flush(t) }
	m := capture.NewMerge(files, first, options, func(file int, info capture.Info, err error) {
		a.ended(files[file-first], &inputs[file-first], info, err)
	})
	if a.progress != nil {
		name := report.Printable(files[0])
		if len(files) > 1 {
			name = fmt.Sprintf("%d files", len(files))
		}
		a.progress.source.Store(&measured{name: name, of: m})
	}
	return m
}

// waited moves the clock to the end of the captures, if they lasted for longer than
// packets came: what was silent then was silent for that long. An end that is far
// from the last packet is none.
func (a *analysis) waited(t *track.Tracker, inputs []input) {
	t.Flush()
	var end capture.Time
	for i := range inputs {
		end = max(end, inputs[i].end)
	}
	if end = a.filter.clock(end); end > t.Now() && end.Sub(t.Now()) < apart {
		t.Tick(end, 0)
	}
}

// finish ends what t has observed, whose ids count from base. The rules about many
// connections know of all before any is reported that is still open.
func (a *analysis) finish(t *track.Tracker, base uint64) {
	t.Flush()
	if a.over() {
		return
	}
	t.Last = func(c *track.Conn) { a.checker.Look(c, base+c.ID, t.Now()) }
	t.Finish()
	for _, f := range a.checker.Finish(t.Now()) {
		name := ""
		if len(f.Packets) > 0 {
			name = a.inputs.Name(f.Packets[0])
		}
		a.finding(&f, name)
	}
}

// finding reports what concerns several connections of an input, or the input
// itself, if it was asked for.
func (a *analysis) finding(f *anomaly.Finding, input string) {
	if a.over() || !a.only.wantsFinding(f) {
		return
	}
	found := report.Finding{Finding: *f, Inputs: a.inputs, Capture: input}
	a.summary.Finding(&found)
	a.writeErr = a.sink.Finding(&found)
}

func fileOf(frame uint64) int {
	file, _ := capture.SplitFrame(frame)
	return file
}

// ended takes what a file says of itself, and what is wrong with it.
func (a *analysis) ended(name string, in *input, info capture.Info, err error) {
	in.Name = name
	in.Format, in.Compression = info.Format, info.Compression
	in.LinkTypes = linkTypeNames(info.LinkTypes)
	in.Warnings = info.Warnings
	in.Received, in.Dropped = info.Received, info.Dropped
	in.end = info.Ended
	in.Truncated = errors.Is(err, io.ErrUnexpectedEOF)
	for _, w := range info.Warnings {
		a.note(name + ": " + w)
	}
	if err == nil || in.Truncated && a.stopped != nil && a.stopped() {
		return // the record that was being written when the user had seen enough
	}
	in.Warnings = append(in.Warnings, err.Error())
	a.fail(name + ": " + err.Error())
	a.failed = true
}

// packets feeds the tracker with what the source yields.
func (a *analysis) packets(m source, inputs []input, first int, d *decode.Decoder, t *track.Tracker, finish func()) {
	var pkt capture.Packet
	for begun := false; !a.over() && m.Next(&pkt) == nil; begun = true {
		if !begun {
			a.filter.begin(pkt.Time)
		}
		if a.progress != nil {
			a.progress.packets.Add(1)
		}
		a.begun = true
		in := &inputs[fileOf(pkt.Frame)-first]
		if in.Packets == 0 && begun {
			a.bridge(t, &pkt, finish)
		}
		in.Count(&pkt)
		if !a.wants(&pkt) {
			in.Filtered++
			t.AddTick(a.filter.clock(pkt.Time), pkt.Frame)
			continue
		}
		seg := t.Slot()
		res := d.Decode(&pkt, seg)
		if a.config.ZeekSplit && res.Remark == decode.RemarkSliced {
			res = decode.Result{Skip: decode.SkipMalformed} // to Zeek
		}
		in.decoded(&res, seg)
		switch res.Kind {
		case decode.AsSegment:
			in.number(seg)
			t.Add(seg)
		case decode.AsICMP:
			if in.streams != nil {
				in.streams.ICMP(&d.ICMP)
			}
			t.AddICMP(&d.ICMP)
		default:
			in.skipped[res.Skip]++
			t.AddTick(pkt.Time, pkt.Frame)
		}
	}
}

// apart is the time between two files that no connection can be followed across:
// an idle one that lives has sent keep-alives, if it sends any, and one that does
// not has been given up (Linux: tcp_keepalive_time, and nine probes 75 s apart).
// What was not captured for that long can't be called silence either.
const apart = 2*time.Hour + 9*75*time.Second

// bridge ends the observation before a file that begins long after all before it:
// captures of different days that were named together.
func (a *analysis) bridge(t *track.Tracker, pkt *capture.Packet, finish func()) {
	t.Flush()
	if gap := pkt.Time.Sub(t.Now()); gap > apart {
		finish()
	}
}

// wants reports whether the packet is looked at, and tells where that cannot be told.
func (a *analysis) wants(pkt *capture.Packet) bool {
	ok, err := a.filter.wants(pkt)
	if err != nil {
		_, frame := capture.SplitFrame(pkt.Frame)
		a.fail(fmt.Sprintf("%s: frame %d: %v", a.inputs.Name(pkt.Frame), frame, err))
		a.failed = true
	}
	return ok
}

// missing tells which connections were asked for that do not exist.
func (a *analysis) missing() {
	for _, id := range a.only.conns {
		if id > a.lastID && !a.over() {
			a.fail(fmt.Sprintf("no connection %d: the files hold %d", id, a.lastID))
			a.failed = true
		}
	}
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
