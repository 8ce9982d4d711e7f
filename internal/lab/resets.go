//go:build linux

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

var resets = []scenario{
	{
		name: "reset-by-client",
		doc:  "the client aborts with SO_LINGER 0",
		how:  "SO_LINGER 0 and close()",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.abort()
			l.expect(s.eof(), unix.ECONNRESET)
		},
	},
	{
		name: "reset-by-server",
		doc:  "the server closes with data unread: RST, no FIN",
		how:  "close() with 100 octets unread",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.must(c.write(100))
			l.quiet(60 * time.Millisecond)
			s.close()
			l.expect(c.eof(), unix.ECONNRESET)
		},
	},
	{
		name: "reset-in-close-wait",
		doc:  "the client shuts down its side, and the server aborts",
		how:  "shutdown(SHUT_WR) here, SO_LINGER 0 and close() there",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.shutdown()
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			s.abort()
			l.expect(c.eof(), unix.ECONNRESET)
		},
	},
	{
		name: "reset-crossing-data",
		doc:  "a RST and the peer's data cross",
		how:  "SO_LINGER 0 and close(); 40 ms from host to host",
		run: func(l *lab) {
			l.latency(20*time.Millisecond, 20*time.Millisecond)
			c, s := l.open()
			l.exchange(c, s)
			l.quiet(100 * time.Millisecond)
			c.abort()
			l.must(s.write(100))
		},
	},
	{
		name: "listener-closed",
		doc:  "the server closes its listener with a connection in the accept queue",
		how:  "close() of the listener before accept()",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			l.quiet(60 * time.Millisecond)
			ln.close()
			l.expect(c.eof(), unix.ECONNRESET)
		},
	},
	{
		name: "server-reboot",
		doc:  "the server loses the connection silently, and the client's next data meets RST",
		how:  "TCP_REPAIR and close(): no segment",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			s.vanish()
			l.wait(300 * time.Millisecond)
			l.must(c.write(100))
			l.expect(c.eof(), unix.ECONNRESET)
		},
		adjust: func(ws []*want) {
			ws[0].proved("server", "the RST says that it was closed", "CLOSED")
		},
	},
	{
		name: "half-open-reconnect",
		doc:  "the client loses the connection silently and connects again from the same port (RFC 9293 Figure 9)",
		how:  "TCP_REPAIR and close(), then connect()",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			s := ln.accept()
			l.exchange(c, s)
			c.vanish()
			l.wait(300 * time.Millisecond)
			c = l.tcp(l.client, clientPort).connect(l.serverAddr())
			l.expect(s.eof(), unix.ECONNRESET)
			s = ln.accept()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
		adjust: func(ws []*want) {
			ws[0].proved("client", "the new SYN, and the RST that answers the challenge, say that it was closed", "CLOSED")
		},
	},
	{
		name: "keepalive-timeout",
		doc:  "the path dies; the client's keepalives go unanswered, and it gives up with RST",
		how:  "TCP_KEEPIDLE 1, TCP_KEEPCNT 2; the wire loses what the client sends",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.set(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1)
			c.set(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1)
			c.set(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 2)
			l.lose(l.client, "", always, beyond)
			c.set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
			l.expect(c.eof(), unix.ETIMEDOUT)
		},
		adjust: func(ws []*want) {
			ws[0].accept("server", "the RST passes the capture point and is lost behind it", "SYN_RCVD ESTABLISHED CLOSED?")
		},
	},
	{
		name: "keepalive",
		doc:  "keepalives are answered while the connection idles",
		how:  "TCP_KEEPIDLE 1",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.set(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1)
			c.set(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1)
			c.set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
			l.wait(3500 * time.Millisecond)
			l.goodbye(c, s)
		},
	},
	{
		name: "retries-exhausted",
		doc:  "the path dies during a transfer; the client repeats itself and gives up silently",
		how:  "tcp_retries2=3; the wire loses what the client sends",
		run: func(l *lab) {
			l.sysctl(l.client, "net.ipv4.tcp_retries2", "3")
			c, s := l.open()
			l.exchange(c, s)
			l.lose(l.client, "", always, beyond)
			l.must(c.write(100))
			l.expect(c.eof(), unix.ETIMEDOUT)
			l.wait(200 * time.Millisecond)
			l.wire.do(func() { l.wire.rule = nil })
			l.clock()
		},
	},
}
