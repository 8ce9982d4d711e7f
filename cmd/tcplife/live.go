package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/decode/capture/live"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/report/metrics"
	"tcplife/report/policy"
	"tcplife/track"
)

const liveLong = `live captures packets from network interfaces and tells the life of every TCP
connection while it lasts, as tcplife FILE does of what was captured before. It goes
on until it is interrupted, and then writes what is still open and the totals.

On a terminal it is a screen of the connections, their states and what is wrong; ?
tells the keys. Elsewhere, and with --format jsonl, it is a stream of lines: each
transition of an end as it happens, each finding once, and the record of each
connection when that is final; --events chooses among them. The other formats are
written at the end.

What nobody sends is told on time, too: a socket that is stuck on a silent link is
found by the clock.

FILTER is tcpdump's language, and evaluated by the kernel. Without -i, and with -i
any, all interfaces are captured from. A packet that passes several of them is
counted once.

On Linux it takes the right CAP_NET_RAW, which is given up when the interfaces are
open. Grant it to the program once, and nobody needs to be root:

  sudo setcap cap_net_raw=ep $(command -v tcplife)

With --policy what is found is held to a policy, as tcplife check does; what breaks it
is told at once on standard error, or the screen. tcplife policy --help describes one.

SIGINT, SIGTERM and SIGHUP end it with the rest of the report, a second one at once.
With --policy, SIGHUP has the policy read again instead.
SIGUSR1 writes the socket tables of all hosts, as ss -tan prints them, to --snapshot.

Exit status: 0 ended as asked; 1 the policy is broken; 2 wrong usage, no right to capture, or trouble.`

const liveExample = `  tcplife live -i eth0                   the screen
  tcplife live -i eth0 | jq .            a line for all that happens
  tcplife live -i eth0 --events findings port 443
  tcplife live -i eth0 --policy tcplife.yaml
  tcplife live -f table --for 10s        what happens in ten seconds
  tcplife live -f ss --for 5s            who is connected to whom
  tcplife live -i eth0 -w kept.pcapng --write-size 100M --write-keep 10 -q >/dev/null`

// liveFlags are the flags of live.
type liveFlags struct {
	interfaces  []string
	snaplen     int
	promiscuous bool
	buffer      size
	format      string
	output      string
	events      []string
	snapshot    string
	metrics     string
	policy      string
	lasts       time.Duration
	keep        keepFlags
	track       trackFlags
	rules       ruleFlags
	color       string
	limit       int
	verbose     bool
	quiet       bool
}

func newLive() *cobra.Command {
	f := liveFlags{buffer: live.DefaultBuffer}
	cmd := &cobra.Command{
		Use:     "live [FILTER]",
		Short:   "Tell the life of every TCP connection on network interfaces, as it happens",
		Long:    liveLong,
		Example: liveExample,
		RunE:    f.run,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringSliceVarP(&f.interfaces, "interface", "i", []string{live.Any}, "capture from this `INTERFACE`; tcplife interfaces lists them")
	fs.Lookup("interface").DefValue = live.Any // pflag would show it as [any]
	fs.StringVarP(&f.format, "format", "f", "", oneOf("format of the report", liveFormats())+" (default screen on a terminal, else jsonl)")
	fs.StringVarP(&f.output, "output", "o", "", "write the report to `FILE` instead of standard output")
	fs.StringSliceVar(&f.events, "events", eventKinds, "which `EVENTS` jsonl has: "+strings.Join(eventKinds, ","))
	fs.Lookup("events").DefValue = "[]" // which pflag does not show
	fs.DurationVar(&f.lasts, "for", 0, "end after this time: 10s")
	fs.StringVar(&f.snapshot, "snapshot", "", "the `FILE` that SIGUSR1 replaces by the hosts' socket tables, instead of standard error")
	fs.StringVar(&f.metrics, "metrics", "", "serve metrics for Prometheus at this `ADDRESS`: :9273 is this host's own, 0.0.0.0:9273 everybody's")
	fs.StringVar(&f.policy, "policy", "", "hold what is found to the policy in `FILE`, or to the one that is built in: "+policy.DefaultName)
	fs.BoolVarP(&f.promiscuous, "promiscuous", "p", false, "capture also what is not addressed to this host")
	fs.IntVarP(&f.snaplen, "snaplen", "s", live.DefaultSnaplen, "how many `OCTETS` of each packet are captured: checksums of longer ones are not verified")
	fs.Var(&f.buffer, "buffer", "room for packets that are not analysed yet: 64M")
	f.keep.add(cmd)
	f.track.add(cmd)
	f.track.memory = min(defaultMemory, machineMemory()/4)
	fs.Lookup("memory-limit").DefValue = "a quarter of the machine's, at most " + fs.Lookup("memory-limit").DefValue
	f.rules.add(cmd)
	fs.IntVarP(&f.limit, "limit", "n", 100, "show at most `N` connections in the table; 0: all")
	colorFlag(cmd, &f.color)
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "tell too which rules could not be judged, and why")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no warnings on standard error")
	complete(cmd, "format", liveFormats())
	completeList(cmd, "events", eventKinds)
	err := cmd.RegisterFlagCompletionFunc("interface", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return interfaceCompletions(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag does not exist
	}
	return cmd
}

func (f *liveFlags) check() error {
	for _, e := range f.events {
		if !slices.Contains(eventKinds, e) {
			return fmt.Errorf("--events %s: want some of %s", e, strings.Join(eventKinds, ", "))
		}
	}
	switch {
	case f.limit < 0:
		return fmt.Errorf("--limit %d: negative", f.limit)
	case f.lasts < 0:
		return fmt.Errorf("--for %v: negative", f.lasts)
	}
	if most := max(machineMemory()/2, live.DefaultBuffer); f.buffer > most { // the kernel would take what others need
		return fmt.Errorf("--buffer %v: more than half of the machine's memory, %dM", &f.buffer, most>>20)
	}
	return f.keep.check()
}

func (f *liveFlags) run(cmd *cobra.Command, args []string) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	if len(args) > 0 && isInterface(args[0]) {
		return fmt.Errorf("%s is an interface, and here stands the filter: tcplife live -i %s", args[0], args[0])
	}
	config, err := f.track.config(cmd)
	if err != nil {
		return err
	}
	rules, err := f.rules.config(&f.track)
	if err != nil {
		return err
	}
	var held *livePolicy
	if f.policy != "" {
		held = &livePolicy{name: f.policy, rules: f.rules, track: &f.track}
		if rules, err = held.read(); err != nil {
			return err
		}
	}
	stderr := cmd.ErrOrStderr()
	if err := f.chooseFormat(cmd.OutOrStdout()); err != nil {
		return err
	}
	config.History = report.Foreign(f.format)
	boundMemory(f.track.memory)
	a := &analysis{config: config, checker: anomaly.NewChecker(anomaly.All, rules)}
	a.tell(stderr, f.quiet)
	expr := strings.Join(args, " ")
	src, err := live.Open(live.Options{
		Interfaces: f.interfaces, Filter: expr, Snaplen: f.snaplen,
		Promiscuous: f.promiscuous, Buffer: int(min(f.buffer, math.MaxInt)), Warn: a.note,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	var srv *server
	if f.metrics != "" {
		if srv, err = serve(f.metrics, a.note); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, srv.close()) }()
	}
	if err := live.DropPrivileges(); err != nil {
		return err
	}

	out := cmd.OutOrStdout()
	screen := out    // if that is a terminal
	var file *output // nil: standard output
	if f.output != "" && f.output != "-" {
		file, err = createOutput(f.output, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out, screen = file, file.File
	}
	color, err := wantColor(f.color, screen)
	if err != nil {
		return err
	}
	if report.Binary(f.format) {
		return fmt.Errorf("--format %s is for files: --write keeps the packets in one", f.format)
	}
	format := f.format
	if format == screenFormat {
		format = "summary" // when it is over
	}
	sink, err := report.New(format, out, report.Options{
		Color: color, Width: terminalWidth(screen), Limit: f.limit, Verbose: f.verbose,
	})
	if err != nil {
		return err
	}
	name := strings.Join(f.interfaces, ",")
	w := &watching{
		a: a, src: src, name: name, snapshot: f.snapshot, stderr: stderr, server: srv,
		survey: anomaly.NewChecker(anomaly.All, rules),
	}
	a.inputs = report.NewInputs([]string{name})
	w.teller = newTeller(sink, a.inputs)
	w.teller.policy = held
	events := chosen{sink, w.teller, true, true}
	if transitions, ok := sink.(report.TransitionSink); ok {
		if slices.Contains(f.events, "transitions") {
			w.teller.transitions = transitions
		}
		w.teller.findings = slices.Contains(f.events, "findings")
		events.connections, events.findings = slices.Contains(f.events, "connections"), w.teller.findings
	}
	if srv != nil {
		w.teller.heard = append(w.teller.heard, srv.Finding)
	}
	a.sink = events
	if f.keep.name != "" {
		w.keep = &keeper{keepFlags: f.keep, source: name, stats: src.Stats}
		if err := w.keep.open(now()); err != nil {
			return err
		}
	}
	defer w.heed(f.lasts)()
	a.live = w.begin
	a.endless = f.keep.name == "" || f.keep.rotates()
	watch := func() { a.run([]string{name}) }
	if f.format == screenFormat {
		if err := w.onScreen(watch); err != nil {
			return err
		}
	} else {
		watch()
	}
	if err := errors.Join(a.close(), file.begin()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if a.failed {
		err = errTold
	}
	if held != nil && held.tell(true, a.fail) {
		err = errors.Join(err, errBroken)
	}
	return err
}

// liveFormats are the formats that can be written while packets come, and the
// screen.
func liveFormats() []string {
	return append([]string{screenFormat}, slices.DeleteFunc(report.Formats(), report.Binary)...)
}

func interfaceCompletions() []string {
	list, _ := live.Interfaces() // none, if there is an error
	names := []string{live.Any + "\tall interfaces"}
	for _, i := range list {
		names = append(names, i.Name+"\t"+strings.Join(append([]string{i.Description}, i.Addrs...), " "))
	}
	return names
}

// chooseFormat makes the format that of the default, if none was asked for.
func (f *liveFlags) chooseFormat(out io.Writer) error {
	terminal := isTerminal(out) && isTerminal(os.Stdin) && f.output == ""
	switch {
	case f.format == "" && terminal:
		f.format = screenFormat
	case f.format == "":
		f.format = "jsonl"
	case f.format == screenFormat && !terminal:
		return errors.New("--format screen wants a terminal for input and output; jsonl is for programs and files")
	}
	return nil
}

func isInterface(name string) bool {
	list, err := live.Interfaces()
	return err == nil && slices.ContainsFunc(list, func(i live.Interface) bool { return i.Name == name })
}

// chosen is a Sink that leaves out what --events does not name, and has the teller
// tell what it has not.
type chosen struct {
	report.Sink
	teller                *teller
	connections, findings bool
}

func (s chosen) Connection(c *report.Connection) error {
	fresh := s.teller.about(c.ID, c.Conn, c.Findings)
	if p := s.teller.policy; p != nil {
		p.connection(c, fresh)
	}
	if !s.connections {
		return s.teller.err
	}
	return errors.Join(s.teller.err, s.Sink.Connection(c))
}

func (s chosen) Finding(f *report.Finding) error {
	s.teller.final(&f.Finding)
	if !s.findings {
		return s.teller.err
	}
	return errors.Join(s.teller.err, s.Sink.Finding(f))
}

// Flush makes it a report.Flusher.
func (s chosen) Flush() error {
	if f, ok := s.Sink.(report.Flusher); ok {
		return errors.Join(s.teller.err, f.Flush())
	}
	return s.teller.err
}

// watching is a source: the packets of interfaces, and the work that is due while
// they are waited for, on the same goroutine.
type watching struct {
	a        *analysis
	src      *live.Source
	name     string
	keep     *keeper // nil: packets are not kept
	teller   *teller
	survey   *anomaly.Checker // of connections that are still open
	server   *server          // nil: there are no metrics
	screen   *onScreen        // nil: there is none
	snapshot string
	stderr   io.Writer

	t         *track.Tracker
	in        *input
	base      uint64
	linkTypes map[uint32]bool
	due       capture.Time // of the next work
	asked     atomic.Bool  // for a snapshot
	dropped   uint64       // of which the user was warned
	warned    time.Time
}

const (
	// workEvery is how often what is open is looked at: soon enough for people, and
	// findings are about seconds.
	workEvery = time.Second

	// idleShare bounds the time that the looking takes, where connections are many:
	// one part in so many.
	idleShare = 20

	// maxPause bounds the time between.
	maxPause = stalledAfter / 2
)

// heed has signals and the end of the time to watch end it. What it returns undoes
// that.
func (w *watching) heed(lasts time.Duration) (undo func()) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	reread, onTerminal := make(chan os.Signal, 1), isTerminal(os.Stdin)
	switch {
	case w.teller.policy != nil:
		signal.Notify(reread, syscall.SIGHUP)
	case !signal.Ignored(syscall.SIGHUP): // not under nohup: the terminal is gone
		signal.Notify(stop, syscall.SIGHUP)
	}
	snapshot := notifySnapshot()
	var timeout <-chan time.Time
	if lasts > 0 {
		timeout = time.After(lasts)
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				signal.Stop(stop) // another one ends the program
				w.src.Stop()
			case <-timeout:
				w.src.Stop()
			case <-snapshot:
				w.asked.Store(true)
			case <-reread:
				if onTerminal && !isTerminal(os.Stdin) { // it is gone, which is no wish
					w.src.Stop()
					continue
				}
				w.teller.policy.asked.Store(true)
			case <-done:
				signal.Stop(stop)
				signal.Stop(reread)
				return
			}
		}
	}()
	return func() { close(done) }
}

// begin takes part in the observation that t makes.
func (w *watching) begin(t *track.Tracker, in *input, base uint64) source {
	w.t, w.in, w.base, w.due = t, in, base, now().Add(workEvery)
	w.linkTypes = make(map[uint32]bool)
	w.a.begun = true // what goes on is told before there is a packet
	done := t.Done
	t.Observe = func(c *track.Conn, seg *decode.Segment, _ track.Notes) {
		w.teller.moved(base+c.ID, c, seg.Frame == c.First)
	}
	t.ObserveICMP = func(c *track.Conn, _ *decode.ICMPError) { w.teller.moved(base+c.ID, c, false) }
	t.Done = func(c *track.Conn) {
		w.teller.moved(base+c.ID, c, false)
		if w.server != nil {
			w.server.Connection(c)
		}
		done(c)
		w.teller.forget(base + c.ID)
	}
	return w
}

// Next returns the next packet. While there is none, it hands on what is known, and
// moves the clock.
func (w *watching) Next(p *capture.Packet) error {
	for {
		w.src.SetDeadline(time.Unix(0, 0)) // what is at hand
		err := w.src.Next(p)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err := w.flush(); err != nil {
				return w.end(err)
			}
			w.src.SetDeadline(time.Now().Add(workEvery))
			err = w.src.Next(p)
		}
		switch {
		case w.a.over():
			return w.end(nil)
		case err == nil:
			w.linkTypes[p.LinkType] = true
			if isDue(w.due, p.Time) {
				w.work()
			}
			if w.keep != nil {
				if err := w.keep.packet(p); err != nil {
					return w.end(err)
				}
			}
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			w.t.Flush()
			w.t.Tick(now()-capture.Time(live.Lag), 0)
			if isDue(w.due, now()) {
				w.work()
			}
		case err == io.EOF:
			return w.end(nil)
		default:
			return w.end(err)
		}
	}
}

// isDue reports whether work that is due at that time is to be done now. It is,
// too, if the time is far off: the system's clock was set back.
func isDue(due, now capture.Time) bool { return due <= now || due.Sub(now) > maxPause }

func now() capture.Time { return capture.Time(time.Now().UnixNano()) }

// flush hands on what is known, since the next packet may take any time.
func (w *watching) flush() error {
	w.a.flush(w.t)
	if w.keep != nil {
		return w.keep.flush()
	}
	return nil
}

// end takes what ended it, nil if somebody asked for that.
func (w *watching) end(err error) error {
	ended := now()
	if w.keep != nil {
		err = errors.Join(err, w.keep.close(ended))
	}
	counted := w.src.Stats()
	w.a.ended(w.name, w.in, capture.Info{
		Format: "live", LinkTypes: slices.Sorted(maps.Keys(w.linkTypes)), Received: counted.Received, Dropped: counted.Dropped,
		Ended: ended,
	}, err)
	return io.EOF
}

func (w *watching) Close() {}

// work looks at what is open: what a report would find if the capture ended now is
// told, unless it was.
func (w *watching) work() {
	began := now()
	w.t.Flush()
	held := w.teller.policy
	if held != nil {
		held.reread([]*anomaly.Checker{w.a.checker, w.survey}, w.a.fail, w.a.note)
	}
	if w.teller.judges() {
		w.judge()
	}
	if held != nil {
		held.tell(false, w.a.fail)
	}
	if w.server != nil {
		w.publish()
	}
	if w.screen != nil {
		w.show()
	}
	if w.asked.CompareAndSwap(true, false) {
		if err := w.writeSnapshot(); err != nil {
			w.a.note("--snapshot: " + err.Error())
		}
	}
	w.warnDropped()
	ended := now()
	w.due = ended.Add(min(max(workEvery, idleShare*ended.Sub(began)), maxPause))
}

func (w *watching) judge() {
	now := w.t.Now()
	w.t.Each(func(c *track.Conn) { w.survey.Look(c, w.base+c.ID, now) })
	w.t.Each(func(c *track.Conn) {
		findings, _ := w.survey.Check(c, w.base+c.ID, now)
		fresh := w.teller.about(w.base+c.ID, c, findings)
		if p := w.teller.policy; p != nil {
			p.about(w.base+c.ID, c, fresh, w.a.inputs, now)
		}
	})
	w.teller.aboutMany(w.survey.Finish(now))
	for _, f := range w.a.checker.Judge(now) {
		w.a.finding(&f, w.name)
	}
}

// publish has the metrics tell what there is now.
func (w *watching) publish() {
	s := metrics.NewSurvey()
	w.t.Each(s.Connection)
	counted := w.src.Stats()
	s.Packets, s.Bytes, s.Received, s.Dropped = w.in.Packets, w.in.Bytes, counted.Received, counted.Dropped
	s.Skipped = w.in.skipped
	s.Tracking, s.Limit = uint64(w.t.Bytes()), uint64(w.a.config.MaxBytes)
	w.server.Publish(s)
	w.server.looked()
}

// warnDropped tells that packets are lost, once a minute at most.
func (w *watching) warnDropped() {
	if time.Since(w.warned) < time.Minute {
		return
	}
	if dropped := w.src.Stats().Dropped; dropped > w.dropped {
		w.a.note(fmt.Sprintf("%d packets were dropped, for want of room: a filter, a smaller --snaplen or a larger --buffer may help", dropped-w.dropped))
		w.dropped, w.warned = dropped, time.Now()
	}
}

// writeSnapshot writes the socket tables of all hosts.
func (w *watching) writeSnapshot() error {
	var b bytes.Buffer
	sink, err := report.New("ss", &b, report.Options{})
	if err != nil {
		return err
	}
	conn := report.Connection{Now: w.t.Now()}
	w.t.Each(func(c *track.Conn) {
		conn.Conn, conn.ID = c, w.base+c.ID
		err = errors.Join(err, sink.Connection(&conn))
	})
	if err := errors.Join(err, sink.Summary(&report.Summary{}), sink.Close()); err != nil {
		return err
	}
	if w.snapshot == "" {
		_, err := w.stderr.Write(b.Bytes())
		return err
	}
	return replace(w.snapshot, b.Bytes())
}

// replace replaces a file, which others may be reading, by another.
func replace(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
