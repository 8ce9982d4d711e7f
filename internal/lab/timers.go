//go:build linux

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// minute is longer than the minute that Linux gives TIME_WAIT, and than a minute
// plus the slack of its timers.
const minute = 63 * time.Second

var timers = []scenario{
	{
		name: "close-wait-stuck",
		doc:  "the client shuts down its side and the server never closes; a datagram moves the clock past a minute",
		how:  "shutdown(SHUT_WR), and a datagram after 63 s",
		long: true,
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.shutdown()
			l.must(s.eof())
			l.wait(minute)
			l.clock()
		},
	},
	{
		name: "half-close-active",
		doc:  "a half-close in use for more than a minute: data every 5 s",
		how:  "shutdown(SHUT_WR), and write() every 5 s",
		long: true,
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.shutdown()
			l.must(s.eof())
			for range 13 {
				l.must(s.write(20))
				c.read(20)
				l.wait(5 * time.Second)
			}
			s.close()
			l.must(c.eof())
			c.close()
		},
	},
	{
		name: "time-wait-expires",
		doc:  "TIME_WAIT ends by the clock; datagrams move it",
		how:  "a datagram after 63 s",
		long: true,
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
			l.clock()
			l.wait(minute)
			l.clock()
		},
		adjust: func(ws []*want) {
			ws[0].proved("client", "the clock", "CLOSED")
		},
	},
	{
		name: "orphan-expires",
		doc:  "the client closes, the server doesn't: FIN_WAIT_2 of the orphan ends after tcp_fin_timeout (3 s), and late data meets RST",
		how:  "tcp_fin_timeout=3",
		run: func(l *lab) {
			l.sysctl(l.client, "net.ipv4.tcp_fin_timeout", "3")
			c, s := l.open()
			l.exchange(c, s)
			c.close()
			l.must(s.eof())
			l.wait(5 * time.Second)
			l.must(s.write(100))
		},
		adjust: func(ws []*want) {
			ws[0].proved("client", "the RST says that it was closed", "CLOSED")
		},
	},
	{
		name: "time-wait-reuse",
		doc:  "the client's port is used again while the server is in TIME_WAIT: the SYN is accepted",
		how:  "connect() from the same port after 1.2 s",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			for range 2 {
				c := l.tcp(l.client, clientPort).connect(l.serverAddr())
				s := ln.accept()
				l.exchange(c, s)
				l.goodbye(s, c)
				l.wait(1200 * time.Millisecond) // timestamps count by the millisecond, TIME_WAIT by the second
			}
		},
		adjust: func(ws []*want) {
			ws[0].optional("server", "whether TIME_WAIT ends with the new connection is a matter of words", "CLOSED")
		},
	},
	{
		name: "time-wait-refuses",
		doc:  "a new SYN with an older number and no timestamps meets TIME_WAIT: ACK, RST, and the repeated SYN succeeds",
		how:  "tcp_timestamps=0; TCP_REPAIR sets both ISNs",
		run: func(l *lab) {
			l.sysctl(l.client, "net.ipv4.tcp_timestamps", "0")
			ln := l.tcp(l.server, serverPort).listen(10)
			for _, isn := range []uint32{1000000, 900000} {
				c := l.tcp(l.client, clientPort).isn(isn).connect(l.serverAddr())
				s := ln.accept()
				l.exchange(c, s)
				l.goodbye(s, c)
			}
		},
		adjust: func(ws []*want) {
			ws[0].optional("server", "tcp_rfc1337 decides whether the RST ends TIME_WAIT", "CLOSED")
		},
	},
	{
		name: "fin-unanswered",
		doc:  "the server vanishes before the client's FIN, which is repeated until the client gives up",
		how:  "tcp_orphan_retries=1; the wire loses what the client sends",
		run: func(l *lab) {
			l.sysctl(l.client, "net.ipv4.tcp_orphan_retries", "1")
			c, s := l.open()
			l.exchange(c, s)
			l.lose(l.client, "", always, beyond)
			c.close()
			l.wait(4 * time.Second)
			l.wire.do(func() { l.wire.rule = nil })
			l.clock()
		},
	},
	{
		name: "user-timeout",
		doc:  "TCP_USER_TIMEOUT (RFC 5482) ends a transfer over a dead path; the server's later data meets RST",
		how:  "TCP_USER_TIMEOUT 1000; the wire loses what the client sends for a while",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.set(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 1000)
			l.lose(l.client, "P.", always, beyond)
			l.lose(l.client, ".", always, beyond)
			l.must(c.write(100))
			l.expect(c.eof(), unix.ETIMEDOUT)
			l.wait(300 * time.Millisecond)
			l.wire.do(func() { l.wire.rule = nil })
			l.must(s.write(50))
			l.expect(s.eof(), unix.ECONNRESET)
		},
		adjust: func(ws []*want) {
			ws[0].proved("client", "the RST says that it was closed", "CLOSED")
		},
	},
}
