//go:build linux

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

var closings = []scenario{
	{
		name: "close-client",
		doc:  "request, response, and the client closes first",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "close-server",
		doc:  "request, response, and the server closes first",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(s, c)
		},
	},
	{
		name: "close-three-segments",
		doc:  "the answer to the FIN is FIN,ACK",
		how:  "close() at once after the FIN was read",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.close()
			l.must(s.eof())
			s.close() // before the ACK, which the kernel delays
		},
	},
	{
		name: "half-close",
		doc:  "the client shuts down its side and reads a response until the server closes",
		how:  "shutdown(SHUT_WR)",
		run: func(l *lab) {
			c, s := l.open()
			l.must(c.write(100))
			c.shutdown()
			s.read(100)
			l.must(s.eof())
			for range 3 {
				l.must(s.write(300))
				c.read(300)
				l.quiet(60 * time.Millisecond)
			}
			s.close()
			l.must(c.eof())
			c.close()
		},
	},
	{
		name: "simultaneous-close",
		doc:  "both ends close and the FINs cross (RFC 9293 Figure 13)",
		how:  "close() on both hosts, 40 ms apart by the wire",
		run: func(l *lab) {
			l.latency(20*time.Millisecond, 20*time.Millisecond)
			c, s := l.open()
			l.exchange(c, s)
			l.quiet(100 * time.Millisecond)
			c.close()
			s.close()
		},
	},
	{
		name: "simultaneous-close-client",
		doc:  "the same, captured at the client, where the FINs are seen one after the other",
		how:  "close() on both hosts; all of the delay lies behind the capture point",
		run: func(l *lab) {
			l.latency(0, 40*time.Millisecond)
			c, s := l.open()
			l.exchange(c, s)
			l.quiet(100 * time.Millisecond)
			c.close()
			s.close()
		},
	},
	{
		name: "fin-lost",
		doc:  "the first FIN is lost before the capture point",
		how:  "the wire loses one frame",
		run: func(l *lab) {
			l.lose(l.client, "F.", 1, before)
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "fin-lost-beyond",
		doc:  "the first FIN is lost behind the capture point",
		how:  "the wire loses one frame",
		run: func(l *lab) {
			l.lose(l.client, "F.", 1, beyond)
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "fin-before-hole",
		doc:  "a data segment is lost, so the FIN behind it does not count until the hole is filled",
		how:  "the wire loses the data twice",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			n := 0
			l.rule(func(f *frame, ft *fate) {
				if f.from == l.client && f.size > 0 && n < 2 {
					n++
					ft.lost = beyond
				}
			})
			l.must(c.write(100))
			c.shutdown()
			s.read(100)
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			s.close()
			l.must(c.eof())
			c.close()
		},
	},
	{
		name: "last-ack-lost",
		doc:  "the ACK of the last FIN is lost behind the capture point: LAST_ACK until the FIN is repeated",
		how:  "the wire loses one frame",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.close()
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			l.lose(l.client, ".", 1, beyond)
			s.close()
			l.quiet(400 * time.Millisecond)
		},
	},
	{
		name: "last-ack-unseen",
		doc:  "the ACK of the last FIN is lost before the capture point",
		how:  "the wire loses one frame",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.close()
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			l.lose(l.client, ".", 1, before)
			s.close()
			l.quiet(400 * time.Millisecond)
		},
	},
	{
		name: "data-after-close",
		doc:  "data for a client that has closed its socket meets RST",
		how:  "write() to a peer that called close()",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.close()
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			l.must(s.write(100))
		},
	},
	{
		name: "network-duplicates",
		doc:  "the network delivers every segment twice; a copied last ACK meets a closed server",
		how:  "the wire repeats every frame after 2 ms",
		run: func(l *lab) {
			l.rule(func(_ *frame, ft *fate) { ft.copies = 1 })
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "reordered",
		doc:  "a FIN overtakes the data before it, between capture point and server",
		how:  "the wire delays the data by 20 ms",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			n := 0
			l.rule(func(f *frame, ft *fate) {
				if f.from == l.client && f.size > 0 && n == 0 {
					n++
					ft.slow = 20 * time.Millisecond
				}
			})
			l.must(c.write(100))
			c.close()
			s.read(100)
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			s.close()
		},
	},
	{
		name: "ipv6",
		doc:  "request, response, and the client closes first, over IPv6",
		v6:   true,
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "zero-window",
		doc:  "the server stops reading for two seconds: zero window, probes, then all goes on",
		how:  "SO_RCVBUF 2048, 4000 octets",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort)
			ln.set(unix.SOL_SOCKET, unix.SO_RCVBUF, 2048).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			s := ln.accept()
			const n = 4000
			l.must(c.write(n)) // fits the client's buffer
			l.wait(2 * time.Second)
			s.read(n)
			l.goodbye(c, s)
		},
	},
	{
		name: "close-zero-window",
		doc:  "the client closes with data queued behind a zero window: no FIN before the window opens",
		how:  "SO_RCVBUF 2048, 4000 octets, close()",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort)
			ln.set(unix.SOL_SOCKET, unix.SO_RCVBUF, 2048).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			s := ln.accept()
			const n = 4000
			l.must(c.write(n))
			l.wait(500 * time.Millisecond)
			c.close()
			l.wait(500 * time.Millisecond)
			s.read(n)
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			s.close()
		},
	},
}

// goodbye lets a close first, and b when it has read the FIN, with an ACK of its
// own in between.
func (l *lab) goodbye(a, b *sock) {
	a.close()
	l.must(b.eof())
	l.quiet(60 * time.Millisecond)
	b.close()
	l.quiet(60 * time.Millisecond)
}
