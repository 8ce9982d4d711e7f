package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcplife/internal/script"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// A policy that is read again is held against what is still so, though that was told;
// shares of few connections are judged at the end, and what is broken is told once.
func TestHoldLive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "policy.yaml")
	l := &livePolicy{name: name, track: &trackFlags{stack: anomaly.StackNames()[0]}}
	var said []string
	say := func(what string) { said = append(said, strings.SplitN(what, ";", 2)[0]) }
	read := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte("version: 1\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.read(); err != nil {
			t.Fatal(err)
		}
	}
	tell := newTeller(&told{}, report.NewInputs([]string{"eth0"}))
	tell.policy = l
	scripts, err := script.Parse("0 --> S 0:0(0)\n")
	if err != nil {
		t.Fatal(err)
	}
	tr := track.New(track.Config{})
	stuck := []anomaly.Finding{{Rule: anomaly.CloseWait, Severity: anomaly.Warn, Side: anomaly.ServerSide}}
	judge := func(c *track.Conn, ids ...uint64) {
		for _, id := range ids {
			fresh := tell.about(id, c, stuck)
			l.about(id, c, fresh, tell.inputs, tr.Now())
		}
	}
	tr.Done = func(c *track.Conn) {
		read("rules: {close-wait: 1}\n")
		judge(c, 1, 1)
		l.tell(false, say) // one is allowed
		judge(c, 2)
		l.tell(false, say)
		judge(c, 3)
		l.tell(false, say) // told before
		read("rules: {close-wait: 2}\n")
		judge(c, 1, 2)
		l.tell(false, say)
		judge(c, 1, 3)
		l.tell(false, say)

		read("rules: {close-wait: 1%}\nlimits: {connections: {min: 1}}\n")
		judge(c, 1)
		if !l.tell(false, say) {
			t.Error("a share of few does not count")
		}
		for id := range uint64(200) {
			l.connection(&report.Connection{Conn: c, ID: 10 + id}, nil)
		}
		judge(c, 4, 5, 6)
		l.tell(false, say)
		for id := range uint64(800) {
			l.connection(&report.Connection{Conn: c, ID: 300 + id}, nil)
		}
		l.tell(false, say) // too soon to be told
		if l.tell(true, say) {
			t.Error("broken at the end")
		}
	}
	tr.Segment(scripts[0].Events(1, 2)[0].Segment)
	tr.Finish()
	want := []string{
		"policy broken: rule close-wait: 2 findings, at most 1 allowed",
		"policy broken: rule close-wait: 3 findings, at most 2 allowed",
		"policy broken: rule close-wait: 4 findings in 200 connections, at most 1% allowed",
		"policy kept again: rule close-wait: 4 findings in 1000 connections, 1% allowed",
	}
	if !slices.Equal(said, want) {
		t.Errorf("said\n%s", strings.Join(said, "\n"))
	}
}
