//go:build unix

// The bench measures tcplife on captures that it makes, side by side with a
// yardstick in C, and prints what it took, as Markdown. Its user learns whether
// tcplife is as fast and as small as its targets say, on his machine.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"tcplife/internal/bench/workload"
)

//go:embed yardstick/yardstick.c
var yardstickSource []byte

func main() {
	var b bench
	flag.StringVar(&b.cache, "cache", filepath.Join(os.TempDir(), "tcplife-bench"), "keep captures and programs in this `directory`")
	flag.Float64Var(&b.scale, "scale", 1, "make captures with so many times the connections: 0.05 takes a minute")
	flag.IntVar(&b.rounds, "rounds", 5, "run everything `N` times, in turn")
	flag.StringVar(&b.captures, "captures", "", "merge the captures in and below this `directory` as W6; without it W6 is left out")
	only := flag.String("only", "", "measure only these, separated by commas: W1 to W6, curve, or C and a number on it")
	peers := flag.String("peers", "", "time these programs too, separated by commas: "+strings.Join(peerNames(), ", "))
	flag.StringVar(&b.tcplife, "tcplife", "", "measure this `program` instead of one built from here")
	makeOnly := flag.Bool("make", false, "make the captures, and end")
	flag.Parse()
	if err := b.check(*only, *peers); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	run := b.run
	if *makeOnly {
		run = b.makeAll
	}
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A bench is one measurement.
type bench struct {
	cache     string
	scale     float64
	rounds    int
	captures  string
	only      []string
	peers     []string
	tcplife   string
	yardstick string // "": there is none
	without   string // why
	workers   bool   // tcplife has --workers
	commit    string // what was built
	load      string // when it began
	results   []*result
}

// A result is what was measured of one workload.
type result struct {
	name, title string
	inProgress  int // of the curve's workloads, else 0
	path        string
	truth       workload.Truth
	samples     map[string][]sample // by contender
	gc          float64             // share of the cpu time
}

// Workloads beside the standard ones.
const (
	merged = "W6"
	curve  = "curve" // all of it
)

func (b *bench) check(only, peers string) error {
	split := func(list string) []string {
		return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
	}
	b.only, b.peers = split(only), split(peers)
	for _, name := range b.peers {
		if _, err := exec.LookPath(name); !slices.Contains(peerNames(), name) {
			return fmt.Errorf("-peers %s: there are %s", name, strings.Join(peerNames(), ", "))
		} else if err != nil {
			return fmt.Errorf("-peers %s: %w", name, err)
		}
	}
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q is no flag; -help lists them", flag.Arg(0))
	case b.scale <= 0 || b.scale > 1:
		return fmt.Errorf("-scale %v: not above 0 and up to 1", b.scale)
	case b.rounds < 1:
		return fmt.Errorf("-rounds %d: at least 1 is needed", b.rounds)
	case b.captures == "" && slices.Contains(b.only, merged):
		return fmt.Errorf("-only %s: -captures names what it is made of", merged)
	}
	names := []string{merged, curve}
	for _, w := range append(workload.Standard(b.scale), workload.Curve(b.scale)...) {
		names = append(names, w.Name)
	}
	for _, name := range b.only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("-only %s: there are %s", name, strings.Join(names, ", "))
		}
	}
	return os.MkdirAll(b.cache, 0o755)
}

func (b *bench) wants(name string) bool { return len(b.only) == 0 || slices.Contains(b.only, name) }

// A task is a workload to be measured.
type task struct {
	result
	source workload.Source
	size   int64
}

// tasks returns what is to be measured.
func (b *bench) tasks() (all []task) {
	add := func(w workload.Workload, inProgress int) {
		all = append(all, task{result{name: w.Name, title: w.Title, inProgress: inProgress}, w, w.Size()})
	}
	for _, w := range workload.Standard(b.scale) {
		if b.wants(w.Name) {
			add(w, 0)
		}
	}
	if b.captures != "" && b.wants(merged) {
		m := workload.Merged{Name: merged, Dir: b.captures, Size: int64(500e6 * b.scale), Seed: 6}
		all = append(all, task{result{name: merged, title: "real captures, merged"}, m, m.Size})
	}
	for _, w := range workload.Curve(b.scale) {
		if b.wants(curve) || b.wants(w.Name) {
			add(w, w.InProgress)
		}
	}
	return all
}

// makeAll makes the captures that are not there yet, and tells what is in them.
func (b *bench) makeAll(ctx context.Context, w io.Writer) error {
	for _, t := range b.tasks() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		path, truth, err := workload.Make(t.source, b.cache)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Fprintf(w, "%s: %d packets, %d connections, %s\n", path, truth.Packets, truth.Connections, octets(truth.Bytes))
	}
	return nil
}

// make has a process of its own make the capture: what that takes would count as
// memory of the programs that are measured, since a process begins as a copy of
// the one that starts it.
func (b *bench) make(ctx context.Context, t *task) error {
	if _, ok := workload.Made(t.source, b.cache); !ok {
		args := []string{"-make", "-cache", b.cache, "-scale", fmt.Sprint(b.scale), "-captures", b.captures, "-only", t.name}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		progress("%s: making %s", t.name, octets(t.size))
		if _, err := measure(ctx, append([]string{self}, args...), nil, true); err != nil {
			return err
		}
	}
	var err error
	t.path, t.truth, err = workload.Make(t.source, b.cache)
	if err != nil {
		return err
	}
	f, err := os.Open(t.path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f) // into the page cache
	return err
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (b *bench) run(ctx context.Context, w io.Writer) error {
	tasks := b.tasks()
	var size int64
	for i := range tasks {
		if _, ok := workload.Made(tasks[i].source, b.cache); !ok {
			size += tasks[i].size
		}
	}
	progress("%s will hold %s more", b.cache, octets(size))
	b.load = load()
	if err := b.build(); err != nil {
		return err
	}
	var wrong []error
	for i := range tasks {
		t := &tasks[i]
		err := b.make(ctx, t)
		if err == nil {
			err = b.measure(ctx, &t.result)
		}
		if ctx.Err() != nil { // what was measured till then is reported
			wrong = append(wrong, ctx.Err())
			break
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", t.name, err))
			continue
		}
		b.results = append(b.results, &t.result)
	}
	b.report(w)
	return errors.Join(wrong...)
}

// build makes the programs that are measured.
func (b *bench) build() error {
	b.commit = b.tcplife
	if b.tcplife == "" {
		b.commit = commit()
		b.tcplife = filepath.Join(b.cache, "tcplife")
		cmd := exec.Command("go", "build", "-trimpath", "-o", b.tcplife, "tcplife/cmd/tcplife")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building tcplife: %w: %s", err, out)
		}
	}
	b.workers = exec.Command(b.tcplife, "--workers", "1", "--version").Run() == nil
	b.without = b.compile()
	return nil
}

// compile makes the yardstick, or returns why there is none.
func (b *bench) compile() (why string) {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if _, err := exec.LookPath(cc); err != nil {
		return "there is no C compiler (CC)"
	}
	source, program := filepath.Join(b.cache, "yardstick.c"), filepath.Join(b.cache, "yardstick")
	if err := os.WriteFile(source, yardstickSource, 0o644); err != nil {
		return err.Error()
	}
	if out, err := exec.Command(cc, "-O2", "-o", program, source, "-lpcap").CombinedOutput(); err != nil {
		return fmt.Sprintf("%s could not compile it; Debian has libpcap's headers in libpcap-dev: %.200s", cc, out)
	}
	b.yardstick = program
	return ""
}

// measure runs every contender on the workload, round after round.
func (b *bench) measure(ctx context.Context, r *result) error {
	r.samples = make(map[string][]sample)
	all := b.contenders(r)
	for round := range b.rounds {
		progress("%s: round %d of %d", r.name, round+1, b.rounds)
		for i := range all {
			c := all[(round+i)%len(all)] // so that none is always behind the same
			o, err := measure(ctx, append(c.argv, r.path), c.env, c.counts == nil)
			if err != nil {
				return err
			}
			if c.counts != nil {
				if err := c.counts(o.stdout, r.truth); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			r.samples[c.name] = append(r.samples[c.name], o.sample)
		}
	}
	o, err := measure(ctx, append(b.tcplifeArgs(r), r.path), []string{"GODEBUG=gctrace=1"}, true)
	if err != nil {
		return err
	}
	r.gc = gcShare(o.stderr, o.cpu.Seconds())
	if r.inProgress > 0 {
		os.Remove(r.path) // the largest files, and nothing else uses them
		os.Remove(r.path + ".truth.json")
	}
	return nil
}
