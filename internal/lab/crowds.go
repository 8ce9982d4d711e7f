//go:build linux

package main

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// crowds are many connections, and what takes long: what rules are about.
var crowds = []scenario{
	{
		name: "half-open-handshake",
		doc:  "a SYN from an address that nobody has: the SYN,ACKs find nobody",
		how:  "the lab makes the SYN; 4 s",
		run: func(l *lab) {
			l.tcp(l.server, serverPort).listen(10)
			l.wire.forge(forged{src: netip.MustParseAddrPort("203.0.113.9:40000"), dst: l.serverAddr(), seq: 1000, flags: "S"})
			l.wait(4 * time.Second)
			l.clock()
		},
		adjust: forgedClients,
	},
	{
		name: "syn-data",
		doc:  "a SYN carries 100 octets and asks for no Fast Open: the server's SYN,ACK does not take them",
		how:  "the lab makes the SYN",
		run: func(l *lab) {
			l.tcp(l.server, serverPort).listen(10)
			l.wire.forge(forged{src: netip.MustParseAddrPort("203.0.113.9:40000"), dst: l.serverAddr(), seq: 1000, flags: "S", size: 100})
			l.quiet(100 * time.Millisecond)
		},
		adjust: forgedClients,
	},
	{
		name: "port-scan",
		doc:  "SYNs to twenty ports, of which one is open",
		how:  "the lab makes the SYNs; the client's kernel answers the SYN,ACK with RST",
		run: func(l *lab) {
			l.tcp(l.server, serverPort).listen(10)
			for i := range uint16(20) {
				src := netip.AddrPortFrom(l.client.addr, 41000+i)
				l.wire.forge(forged{src: src, dst: netip.AddrPortFrom(l.server.addr, 70+i), seq: 1000003 * uint32(i*i+1), flags: "S"})
				l.quiet(10 * time.Millisecond)
			}
		},
		adjust: func(ws []*want) {
			for _, w := range ws {
				w.accept("client", "its kernel has no such socket; all that its segments show is SYN_SENT", "SYN_SENT CLOSED?")
				w.anyFirst("there is no connection")
			}
		},
	},
	{
		name: "zero-window-stall",
		doc:  "the server does not read for five seconds: zero window and probes",
		how:  "SO_RCVBUF 2048, 4000 octets",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort)
			ln.set(unix.SOL_SOCKET, unix.SO_RCVBUF, 2048).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			s := ln.accept()
			const n = 4000
			l.must(c.write(n)) // fits the client's buffer
			l.wait(5 * time.Second)
			s.read(n)
			l.goodbye(c, s)
		},
	},
	{
		name: "close-wait-leak",
		doc:  "twelve clients close and the server never does; a datagram moves the clock past a minute",
		how:  "shutdown(SHUT_WR), and a datagram after 63 s",
		long: true,
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			for i := range uint16(12) {
				c := l.tcp(l.client, clientPort+i).connect(l.serverAddr())
				s := ln.accept()
				c.shutdown()
				l.must(s.eof())
				l.wait(200 * time.Millisecond)
			}
			l.wait(minute)
			l.clock()
		},
	},
	{
		name: "never-closed",
		doc:  "request and response, then nothing for a minute",
		how:  "a datagram after 63 s",
		long: true,
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.wait(minute)
			l.clock()
		},
	},
	{
		name: "short-connections",
		doc:  "120 connections one after the other, each for one request, and the server closes first",
		how:  "sockets",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			for i := range uint16(120) {
				c := l.tcp(l.client, clientPort+i).connect(l.serverAddr())
				s := ln.accept()
				l.must(c.write(100))
				s.read(100)
				l.must(s.write(200))
				s.close()
				c.read(200)
				l.must(c.eof())
				c.close()
			}
			l.quiet(60 * time.Millisecond)
		},
	},
	{
		name: "backlog-pressure",
		doc:  "an accept queue for two, and nobody accepts: six of eight SYNs are ignored, and sent again",
		how:  "listen(1), and no accept() for 2.5 s",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(1)
			for i := range uint16(2) {
				l.tcp(l.client, clientPort+i).connect(l.serverAddr())
			}
			l.quiet(60 * time.Millisecond)
			var waiting []*sock
			for i := range uint16(6) {
				waiting = append(waiting, l.tcp(l.client, clientPort+2+i).start(l.serverAddr()))
			}
			l.wait(2500 * time.Millisecond)
			for range 8 {
				ln.accept()
			}
			for _, s := range waiting {
				l.must(s.ended())
			}
		},
	},
}

// forgedClients says what is known of clients that the lab forged.
func forgedClients(ws []*want) {
	for _, w := range ws {
		w.accept("client", "forged; all that its segments show is SYN_SENT", "SYN_SENT CLOSED?")
		w.optional("server", "a request ends silently", "CLOSED")
		w.anyFirst("no end closed")
	}
}
