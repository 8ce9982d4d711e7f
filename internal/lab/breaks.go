//go:build linux

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// breaks are connections that break for reasons of their own, which the rules of
// report/anomaly tell apart.
var breaks = []scenario{
	{
		name: "idle-timeout-reset",
		doc:  "a box in between has forgotten the idle connection: it keeps what the client sends then, and answers with RST in the server's name",
		how:  "the wire loses the data after 11 s; the lab makes the RST, as a router's firewall does",
		long: true,
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.wait(11 * time.Second)
			l.lose(l.client, "", always, beyond)
			l.must(c.write(100))
			l.quiet(20 * time.Millisecond)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.serverAddr(), dst: l.clientAddr(), seq: p.ack, flags: "R", closed: true})
			l.expect(c.eof(), unix.ECONNRESET)
		},
		adjust: func(ws []*want) {
			ws[0].accept("server", "the RST is in its name, and nothing shows that it is not its own", "SYN_RCVD ESTABLISHED CLOSED?")
			ws[0].anyFirst("neither end: a third party did")
		},
	},
	{
		name: "request-lost-to-close",
		doc:  "the server closes an idle connection, and the client's next request crosses its FIN: RST (the keep-alive race)",
		how:  "close() there and write() here 10 ms later; 40 ms from host to host",
		run: func(l *lab) {
			l.latency(20*time.Millisecond, 20*time.Millisecond)
			c, s := l.open()
			l.exchange(c, s)
			l.quiet(300 * time.Millisecond)
			s.close()
			l.wait(10 * time.Millisecond)
			l.must(c.write(100))
		},
	},
	{
		name: "resets-cluster",
		doc:  "a server with twelve idle connections is stopped, and resets all of them",
		how:  "SO_LINGER 0 and close() of each after 6 s",
		long: true,
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(20)
			var served []*sock
			for i := range 12 {
				c := l.tcp(l.client, uint16(clientPort+i)).connect(l.serverAddr())
				s := ln.accept()
				l.exchange(c, s)
				served = append(served, s)
			}
			l.wait(6 * time.Second)
			for _, s := range served {
				s.abort()
			}
		},
	},
}
