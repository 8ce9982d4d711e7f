//go:build linux

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// What kernels do that few expect.
var oddities = []scenario{
	{
		name: "duplicate-syn-late",
		doc:  "a copy of the SYN arrives after the close: the server answers it, the client's TIME_WAIT answers that, and the server resets and stays SYN_RCVD",
		how:  "the wire repeats the SYN",
		run: func(l *lab) {
			c, s := l.open()
			l.goodbye(c, s)
			l.wire.repeat(0)
			l.wait(1500 * time.Millisecond)
		},
		adjust: func(ws []*want) {
			ws[1].accept("client", "the SYN is a copy; the client knows of no such connection", "SYN_SENT CLOSED?")
		},
	},
	{
		name: "forged-synack-bad-ack",
		doc:  "a forged SYN,ACK that acknowledges nothing the client sent: RST, the client stays SYN_SENT and repeats its SYN at once",
		how:  "the wire loses the SYN; the lab makes the SYN,ACK",
		run: func(l *lab) {
			l.lose(l.client, "S", 1, beyond)
			ln := l.tcp(l.server, serverPort).listen(10)
			c := l.tcp(l.client, clientPort).start(l.serverAddr())
			l.wait(100 * time.Millisecond)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.serverAddr(), dst: l.clientAddr(), seq: 5000, ack: p.nxt + 1000, flags: "S."})
			l.must(c.ended())
			s := ln.accept()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "forged-reset-syn-sent",
		doc:  "RSTs that do not acknowledge the SYN, without ACK and with a wrong one: the client stays SYN_SENT",
		how:  "the wire loses the SYN; the lab makes the RSTs",
		run: func(l *lab) {
			l.lose(l.client, "S", 1, beyond)
			ln := l.tcp(l.server, serverPort).listen(10)
			c := l.tcp(l.client, clientPort).start(l.serverAddr())
			l.wait(100 * time.Millisecond)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.serverAddr(), dst: l.clientAddr(), seq: 0, flags: "R"})
			l.wire.forge(forged{src: l.serverAddr(), dst: l.clientAddr(), seq: 0, ack: p.nxt + 1, flags: "R."})
			l.must(c.ended())
			s := ln.accept()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "forged-reset-scaled-window",
		doc:  "a forged RST 200,000 octets above the next number lies in the scaled window: challenge ACK",
		how:  "SO_RCVBUF 1 MB; the lab makes the RST",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort)
			ln.set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			s := ln.accept()
			l.exchange(c, s)
			p := l.position(l.clientAddr(), l.serverAddr())
			l.wire.forge(forged{src: l.clientAddr(), dst: l.serverAddr(), seq: p.nxt + 200000, flags: "R"})
			l.quiet(100 * time.Millisecond)
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "forged-reset-sack-edge",
		doc:  "while a hole is open, a forged RST at the right edge of the SACK block closes",
		how:  "the wire loses one segment; the lab makes the RST",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			hole := l.position(l.clientAddr(), l.serverAddr()).nxt
			l.rule(func(f *frame, ft *fate) {
				if f.from == l.client && f.size > 0 && f.tcp.Seq == hole {
					ft.lost = beyond
				}
			})
			c.set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			l.must(c.write(100))
			l.must(c.write(100))
			l.wait(20 * time.Millisecond)
			l.wire.forge(forged{src: l.clientAddr(), dst: l.serverAddr(), seq: hole + 200, flags: "R"})
			l.wait(400 * time.Millisecond)
			l.expect(s.eof(), unix.ECONNRESET)
		},
		adjust: func(ws []*want) {
			ws[0].anyFirst("neither end: a third party did")
		},
	},
	{
		name: "reset-numbered-fin",
		doc:  "data meets a closed client: its RST has the number of its FIN, one below what the server in CLOSE_WAIT waits for, and closes",
		how:  "close() and write() at once; 40 ms from host to host",
		run: func(l *lab) {
			l.latency(20*time.Millisecond, 20*time.Millisecond)
			c, s := l.open()
			l.exchange(c, s)
			l.quiet(100 * time.Millisecond)
			l.must(s.write(100))
			l.wait(20 * time.Millisecond)
			c.close()
		},
	},
	{
		name: "forged-reset-orphan",
		doc:  "a forged RST in the window, but not at the next number, ends the FIN_WAIT_2 of a closed socket, whose minisock does not ask twice",
		how:  "the lab makes the RST",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			c.close()
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			p := l.position(l.serverAddr(), l.clientAddr())
			l.wire.forge(forged{src: l.serverAddr(), dst: l.clientAddr(), seq: p.nxt + 100, flags: "R"})
			l.quiet(300 * time.Millisecond)
			l.must(s.write(100))
		},
		adjust: func(ws []*want) {
			ws[0].proved("client", "only the RST that answers the data says that it was closed", "CLOSED")
		},
	},
	{
		name: "accept-queue-syn-ignored",
		doc:  "a full accept queue ignores a SYN; its repetition is answered when there is room",
		how:  "listen(0), and accept() after 400 ms",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(0) // room for one
			a := l.tcp(l.client, clientPort).connect(l.serverAddr())
			l.quiet(60 * time.Millisecond)
			b := l.tcp(l.client, clientPort+1).start(l.serverAddr())
			l.wait(400 * time.Millisecond)
			sa := ln.accept()
			l.must(b.ended())
			sb := ln.accept()
			l.goodbye(a, sa)
			l.goodbye(b, sb)
		},
	},
	{
		name: "accept-queue-abort",
		doc:  "tcp_abort_on_overflow: the handshake's ACK meets a full accept queue, and a bare RST",
		how:  "tcp_abort_on_overflow=1, listen(0)",
		run: func(l *lab) {
			l.sysctl(l.server, "net.ipv4.tcp_abort_on_overflow", "1")
			l.latency(20*time.Millisecond, 20*time.Millisecond)
			ln := l.tcp(l.server, serverPort).listen(1) // room for two
			a := l.tcp(l.client, clientPort).connect(l.serverAddr())
			l.quiet(60 * time.Millisecond)
			b, c := l.tcp(l.client, clientPort+1), l.tcp(l.client, clientPort+2)
			b.start(l.serverAddr())
			c.start(l.serverAddr())
			l.must(b.ended())
			l.must(c.ended())
			l.expect(c.eof(), unix.ECONNRESET)
			sa, sb := ln.accept(), ln.accept()
			l.goodbye(a, sa)
			l.goodbye(b, sb)
		},
		adjust: func(ws []*want) {
			ws[2].accept("server", "a RST right after the ACK does not tell whether the ACK was taken", "SYN_RCVD ESTABLISHED? CLOSED")
		},
	},
	{
		name: "fast-open-close",
		doc:  "Fast Open: the server answers the SYN's data and closes before the handshake is over, SYN_RCVD to FIN_WAIT_1",
		how:  "tcp_fastopen without cookies on both hosts; 60 ms from host to host",
		run: func(l *lab) {
			l.sysctl(l.server, "net.ipv4.tcp_fastopen", "515")
			l.sysctl(l.client, "net.ipv4.tcp_fastopen", "5")
			l.latency(30*time.Millisecond, 30*time.Millisecond)
			ln := l.tcp(l.server, serverPort)
			ln.set(unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 5).listen(10)
			c := l.tcp(l.client, clientPort)
			c.set(unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
			l.must(unix.Connect(c.fd, sockaddr(l.serverAddr())))
			l.must(c.write(100))
			s := ln.accept()
			s.read(100)
			l.must(s.write(200))
			s.close()
			c.read(200)
			l.must(c.eof())
			l.quiet(100 * time.Millisecond)
			c.close()
		},
	},
	{
		name: "close-queued-forever",
		doc:  "the client closes with data queued behind a zero window that never opens: FIN_WAIT_1 without a FIN, until the server aborts",
		how:  "SO_RCVBUF 2048, 4000 octets, close(); SO_LINGER 0 there after 700 ms",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort)
			ln.set(unix.SOL_SOCKET, unix.SO_RCVBUF, 2048).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			s := ln.accept()
			l.must(c.write(4000))
			l.wait(300 * time.Millisecond)
			c.close()
			l.wait(700 * time.Millisecond)
			s.abort()
		},
		adjust: func(ws []*want) {
			ws[0].anyFirst("the client's close() never shows")
		},
	},
	{
		name: "time-wait-overflow",
		doc:  "no room for TIME_WAIT: the closed client's FIN_WAIT_2 ends at once, and the server's FIN meets RST",
		how:  "tcp_max_tw_buckets=0",
		run: func(l *lab) {
			l.sysctl(l.client, "net.ipv4.tcp_max_tw_buckets", "0")
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
		adjust: func(ws []*want) {
			ws[0].proved("client", "only the RST that answers the FIN says that it was closed", "CLOSED")
		},
	},
	{
		name: "icmp-unreachable-synack",
		doc:  "an ICMP host unreachable about the SYN,ACK ends the server's half-open connection; a port unreachable about another does not",
		how:  "the wire loses the ACKs of the handshakes; the lab makes the ICMP errors",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			l.lose(l.client, ".", always, before)
			for i, code := range []uint8{1, 3} {
				c := l.tcp(l.client, clientPort+uint16(i)).connect(l.serverAddr())
				l.quiet(20 * time.Millisecond)
				var synack *frame
				l.wire.do(func() {
					for _, f := range l.wire.captured {
						if f.from == l.server && f.flags == "S." {
							synack = f
						}
					}
				})
				l.wire.unreachable(synack, code)
				l.quiet(20 * time.Millisecond)
				c.vanish()
			}
			l.wait(1200 * time.Millisecond)
			ln.close()
		},
		adjust: func(ws []*want) {
			for _, w := range ws {
				w.optional("client", "its ACK is lost before the capture point", "ESTABLISHED", "CLOSED")
			}
		},
	},
	{
		name: "mptcp",
		doc:  "Multipath TCP (RFC 8684) over one path: MP_CAPABLE, DATA_FIN, then the subflow's own FINs",
		how:  "IPPROTO_MPTCP sockets",
		run: func(l *lab) {
			const mptcp = 262
			l.kind = mptcp
			c, s := l.open()
			l.must(c.write(100))
			s.read(100)
			l.must(s.write(200))
			c.read(200)
			l.quiet(60 * time.Millisecond)
			l.goodbye(c, s)
			l.quiet(300 * time.Millisecond)
		},
		adjust: func(ws []*want) {
			ws[0].anyFirst("DATA_FIN closes both directions of the subflow at once")
		},
	},
}
