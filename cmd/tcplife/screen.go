package main

import (
	"net/netip"
	"sync/atomic"

	tea "charm.land/bubbletea/v2"

	"tcplife/decode"
	"tcplife/report/anomaly"
	"tcplife/report/screen"
	"tcplife/track"
)

// screenFormat is the format of live that no file has.
const screenFormat = "screen"

// onScreen is what a live capture and its screen, which run side by side, know of
// each other.
type onScreen struct {
	program *tea.Program
	query   atomic.Pointer[screen.Query]
}

// onScreen runs watch, and shows it on the terminal until it ends or the user
// quits, which ends it.
func (w *watching) onScreen(watch func()) error {
	s := &onScreen{}
	s.query.Store(&screen.Query{})
	model := screen.New(w.name, func(q screen.Query) { s.query.Store(&q) })
	s.program = screen.Program(model)
	w.screen = s
	w.teller.heard = append(w.teller.heard, func(f *anomaly.Finding) { s.program.Send(shown(f)) })
	fail, warn := w.a.fail, w.a.warn
	w.a.fail = func(what string) { s.program.Send(screen.Message(what)) }
	if warn != nil {
		w.a.warn = w.a.fail
	}
	over := make(chan struct{})
	go func() {
		defer func() {
			if bug := recover(); bug != nil { // which is to be read
				s.program.Kill()
				s.program.Wait()
				panic(bug)
			}
		}()
		watch()
		s.program.Send(screen.Done{})
		close(over)
	}()
	_, err := s.program.Run()
	w.src.Stop()
	<-over
	w.a.fail, w.a.warn = fail, warn
	for _, m := range model.Messages() {
		fail(m)
	}
	return err
}

// show has the screen show what there is now.
func (w *watching) show() {
	s := screen.NewSurvey(w.t.Now(), *w.screen.query.Load())
	w.t.Each(func(c *track.Conn) { s.Connection(w.base+c.ID, c) })
	s.Sort()
	s.Packets, s.Dropped = w.in.Packets, w.src.Stats().Dropped
	s.Tracking, s.Limit = uint64(w.t.Bytes()), uint64(w.a.config.MaxBytes)
	w.screen.program.Send(s)
}

// shown is a finding as the screen takes it.
func shown(f *anomaly.Finding) screen.Finding {
	s := screen.Finding{Time: f.Time, Rule: f.Rule.Name, Severity: f.Severity, Message: f.Message}
	if f.Addr != (decode.Addr{}) {
		s.At = netip.AddrPortFrom(f.Addr.IP(), f.Port)
	}
	if f.Rule.Start == nil && len(f.Conns) > 0 {
		s.Conn = f.Conns[0]
	}
	return s
}
