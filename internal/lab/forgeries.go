//go:build linux

package main

import (
	"net/netip"
	"time"
)

var forgeries = []scenario{
	{
		name: "forged-reset-in-window",
		doc:  "a forged RST in the window, but not at the next number: challenge ACK, and the connection lives (RFC 5961)",
		how:  "the lab makes the RST",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.clientAddr(), dst: l.serverAddr(), seq: p.nxt + 100, flags: "R"})
			l.quiet(100 * time.Millisecond)
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "forged-reset-bad-checksum",
		doc:  "a RST at exactly the next number with a wrong checksum: ignored",
		how:  "the lab makes the RST",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.clientAddr(), dst: l.serverAddr(), seq: p.nxt, flags: "R", bad: true})
			l.quiet(100 * time.Millisecond)
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "forged-reset",
		doc:  "a RST at exactly the next number, by a box in between: the server believes it, and answers the client's data with RST",
		how:  "the lab makes the RST",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.clientAddr(), dst: l.serverAddr(), seq: p.nxt, flags: "R"})
			l.wait(1200 * time.Millisecond)
			l.must(c.write(100))
		},
		adjust: func(ws []*want) {
			ws[0].anyFirst("neither end: a third party did")
		},
	},
	{
		name: "forged-syn-established",
		doc:  "a forged SYN into an established connection: challenge ACK, and the connection lives",
		how:  "the lab makes the SYN",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.clientAddr(), dst: l.serverAddr(), seq: p.nxt + 50000, flags: "S"})
			l.quiet(100 * time.Millisecond)
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "forged-fin-stale",
		doc:  "a forged FIN at the next number with an old timestamp: thrown away (RFC 7323 PAWS)",
		how:  "the lab makes the FIN",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.clientAddr(), dst: l.serverAddr(), seq: p.nxt, ack: p.ack, flags: "F.", tsval: l.timestamp(l.clientAddr(), l.serverAddr()) - 100000})
			l.quiet(100 * time.Millisecond)
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "time-wait-assassinated",
		doc:  "a forged RST at the next number ends TIME_WAIT (RFC 1337)",
		how:  "the lab makes the RST",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
			p := l.position(l.serverAddr(), l.clientAddr())
			l.wire.forge(forged{src: l.serverAddr(), dst: l.clientAddr(), seq: p.nxt, flags: "R"})
		},
		adjust: func(ws []*want) {
			ws[0].optional("client", "tcp_rfc1337 decides whether the RST ends TIME_WAIT", "CLOSED")
		},
	},
	{
		name: "old-duplicate-syn",
		doc:  "an old SYN arrives at the listener before the new one: the client resets that attempt (RFC 9293 Figure 8)",
		how:  "the lab makes the old SYN; the wire holds the real one for 50 ms",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			l.on(l.client, "S", 1, func(ft *fate) { ft.hold = 50 * time.Millisecond })
			c := l.tcp(l.client, clientPort).isn(100000).start(l.serverAddr())
			l.wire.forge(forged{src: l.clientAddr(), dst: l.serverAddr(), seq: 90000, flags: "S"})
			l.must(c.ended())
			s := ln.accept()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
		adjust: func(ws []*want) {
			ws[0].accept("client", "the old SYN is forged, and until the RST comes its sender may be taken to have accepted the SYN,ACK", "SYN_SENT CLOSED?")
			ws[0].anyFirst("no end knows of this connection")
		},
	},
	{
		name: "syn-flood",
		doc:  "120 SYNs from forged addresses; the SYN,ACKs find nobody",
		how:  "the lab makes the SYNs; tcp_syncookies=0, tcp_synack_retries=1",
		run: func(l *lab) {
			l.sysctl(l.server, "net.ipv4.tcp_syncookies", "0")
			l.sysctl(l.server, "net.ipv4.tcp_synack_retries", "1")
			l.tcp(l.server, serverPort).listen(200)
			for i := range 120 {
				src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}), uint16(10000+i))
				l.wire.forge(forged{src: src, dst: l.serverAddr(), seq: uint32(i) * 1000003, flags: "S"})
			}
			l.wait(3 * time.Second)
			l.clock()
		},
		adjust: forgedClients,
	},
	{
		name: "scan-flags",
		doc:  "NULL, FIN, Xmas, ACK and SYN,FIN probes to an open and a closed port",
		how:  "the lab makes the probes",
		run: func(l *lab) {
			l.tcp(l.server, serverPort).listen(10)
			port := uint16(41000)
			for _, dport := range []uint16{serverPort, 81} {
				for _, flags := range []string{"", "F", "FPU", ".", "SF"} {
					src := netip.AddrPortFrom(l.client.addr, port)
					dst := netip.AddrPortFrom(l.server.addr, dport)
					l.wire.forge(forged{src: src, dst: dst, seq: 5000, flags: flags})
					l.quiet(20 * time.Millisecond)
					port++
				}
			}
		},
		adjust: func(ws []*want) {
			for _, w := range ws {
				w.Optional, w.EitherWay = true, true
				w.accept("client", "a stray segment, of which neither kernel has a socket", "SYN_SENT? ESTABLISHED? FIN_WAIT_1? CLOSED?")
				w.accept("server", "likewise", "ESTABLISHED? CLOSE_WAIT? CLOSED?")
				w.anyFirst("there is no connection")
			}
		},
	},
}

// timestamp returns the last timestamp that src sent to dst.
func (l *lab) timestamp(src, dst netip.AddrPort) (ts uint32) {
	l.wire.do(func() {
		for _, f := range l.wire.captured {
			if f.tcp == nil || f.src != src || f.dst != dst {
				continue
			}
			for _, o := range f.tcp.Options {
				if o.OptionType == 8 {
					d := o.OptionData
					ts = uint32(d[0])<<24 | uint32(d[1])<<16 | uint32(d[2])<<8 | uint32(d[3])
				}
			}
		}
	})
	return ts
}
