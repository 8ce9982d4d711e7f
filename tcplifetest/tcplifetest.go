// Package tcplifetest fails a test whose TCP connections are not as they should be:
// leaked, reset, or slow to come about. What fails it is shown segment by segment.
//
//	func TestOrders(t *testing.T) {
//		rec := tcplifetest.Record(t, "lo", tcplifetest.Port(8080))
//		// … what the test does …
//		rec.Check("") // or a policy, see tcplife policy --help
//	}
//
// Capturing takes a right that tests seldom have: CAP_NET_RAW on Linux. Without it
// the test is skipped, with what to grant as the reason.
package tcplifetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tcplife/decode/capture/live"
	"tcplife/internal/record"
	"tcplife/report/ci"
	"tcplife/report/policy"
)

// An Option says what is recorded.
type Option func(*options)

type options struct {
	filters []string
	settle  time.Duration
}

// Port records the packets from and to a TCP port. Given more than once, those of
// any of them are recorded.
func Port(port uint16) Option {
	return func(o *options) { o.filters = append(o.filters, fmt.Sprintf("tcp port %d", port)) }
}

// Filter records the packets that an expression in tcpdump's language wants, besides
// those of Port.
func Filter(expr string) Option {
	return func(o *options) { o.filters = append(o.filters, "("+expr+")") }
}

// Settle sets how long connections that are opening or closing may take to end when
// Check is called; 1 s if it is not given.
func Settle(d time.Duration) Option { return func(o *options) { o.settle = d } }

// A Recording is the packets that pass while a test runs.
type Recording struct {
	t      testing.TB
	rec    *record.Recorder
	file   string
	settle time.Duration
	stop   func() (live.Stats, error)
}

// Record begins to record what passes an interface, "any" for all. The test is
// skipped where that may not be done. The recording ends with Check, or with the
// test.
func Record(t testing.TB, iface string, opts ...Option) *Recording {
	t.Helper()
	o := options{settle: time.Second}
	for _, opt := range opts {
		opt(&o)
	}
	source, err := live.Open(live.Options{
		Interfaces: []string{iface}, Filter: strings.Join(o.filters, " or "), Warn: func(what string) { t.Log(what) },
	})
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, live.ErrUnsupported):
		t.Skipf("connections are not checked: %v", err)
	case err != nil:
		t.Fatalf("recording connections: %v", err)
	}
	return start(t, source, o.settle)
}

func start(t testing.TB, source record.Source, settle time.Duration) *Recording {
	t.Helper()
	r := &Recording{t: t, file: filepath.Join(t.TempDir(), "connections.pcapng"), settle: settle}
	var err error
	if r.rec, err = record.Start(source, r.file); err != nil {
		t.Fatalf("recording connections: %v", err)
	}
	r.stop = sync.OnceValues(r.rec.Stop)
	t.Cleanup(func() { r.stop() }) //nolint:errcheck // Check tells, if it is called
	return r
}

// testPolicy is what holds where Check is given none: the one that is built in, but
// for a test, which has no time to wait for a leak to become one.
var testPolicy = []byte(strings.Replace(string(policy.Default), "close-wait.after: 10s", "close-wait.after: 1s", 1))

// Check ends the recording and holds it to a policy in YAML, as tcplife check does:
// tcplife policy --help describes it. Without one, findings of severity error and
// ends that stay in CLOSE_WAIT for a second break it. If it is broken, the test
// fails, and tells what is and the segments of a connection that shows it.
func (r *Recording) Check(yaml string) {
	r.t.Helper()
	name, text := "policy", []byte(yaml)
	if yaml == "" {
		name, text = policy.DefaultName, testPolicy
	}
	p, err := policy.Parse(name, text)
	if err != nil {
		r.t.Fatal(err)
	}
	r.check(p)
}

// CheckFile ends the recording and holds it to the policy in a file, as Check does.
func (r *Recording) CheckFile(name string) {
	r.t.Helper()
	p, err := policy.Load(name)
	if err != nil {
		r.t.Fatal(err)
	}
	r.check(p)
}

func (r *Recording) check(p *policy.Policy) {
	r.t.Helper()
	r.rec.Settle(r.settle)
	stats, err := r.stop()
	if err != nil {
		r.t.Fatalf("recording connections: %v", err)
	}
	if stats.Dropped > 0 {
		r.t.Logf("%d packets were lost, which the verdict lacks: record fewer, by Port or Filter", stats.Dropped)
	}
	v, err := judge(r.file, p)
	if err != nil {
		r.t.Fatalf("reading what was recorded: %v", err)
	}
	var text bytes.Buffer
	if err := ci.Write(&text, "text", v); err != nil {
		r.t.Fatal(err)
	}
	if !v.Broken() {
		r.t.Logf("\n%s", text.String())
		return
	}
	for _, conn := range shown(v) {
		lines, err := explain(r.file, p, conn)
		if err != nil {
			r.t.Fatalf("reading what was recorded: %v", err)
		}
		text.WriteString("\n" + lines)
	}
	r.t.Errorf("\n%s", text.String())
}

// maxShown bounds the connections of which the segments are told.
const maxShown = 3

// shown returns the first connection that shows each thing that is broken.
func shown(v *policy.Verdict) (conns []uint64) {
	seen := map[uint64]bool{}
	for i := range v.Results {
		res := &v.Results[i]
		if res.Status != policy.Broken || len(res.Examples) == 0 || len(conns) == maxShown {
			continue
		}
		if c := res.Examples[0].Conn; c != 0 && !seen[c] {
			seen[c] = true
			conns = append(conns, c)
		}
	}
	return conns
}
