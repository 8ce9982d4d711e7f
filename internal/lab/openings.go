//go:build linux

package main

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

var openings = []scenario{
	{
		name: "refused",
		doc:  "a SYN to a closed port is answered with RST",
		how:  "no listener",
		run: func(l *lab) {
			c := l.tcp(l.client, clientPort).start(l.serverAddr())
			l.expect(c.ended(), unix.ECONNREFUSED)
		},
	},
	{
		name: "syn-unanswered",
		doc:  "SYNs vanish behind the capture point, and the client gives up",
		how:  "TCP_SYNCNT 1; the wire loses every SYN",
		run: func(l *lab) {
			l.lose(l.client, "S", always, beyond)
			c := l.tcp(l.client, clientPort)
			c.set(unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1)
			l.expect(c.start(l.serverAddr()).ended(), unix.ETIMEDOUT)
			l.wait(200 * time.Millisecond)
			l.clock()
		},
	},
	{
		name: "synack-lost",
		doc:  "the first SYN,ACK is lost before it reaches the capture point",
		how:  "the wire loses one frame",
		run: func(l *lab) {
			l.lose(l.server, "S.", 1, before)
			c, s := l.open()
			l.goodbye(c, s)
		},
	},
	{
		name: "synack-lost-beyond",
		doc:  "the first SYN,ACK is lost behind the capture point",
		how:  "the wire loses one frame",
		run: func(l *lab) {
			l.lose(l.server, "S.", 1, beyond)
			c, s := l.open()
			l.goodbye(c, s)
		},
	},
	{
		name: "handshake-ack-lost",
		doc:  "the handshake's ACK is lost behind the capture point: the server repeats its SYN,ACK",
		how:  "the wire loses one frame",
		run: func(l *lab) {
			l.lose(l.client, ".", 1, beyond)
			c, s := l.open()
			l.goodbye(c, s)
		},
	},
	{
		name: "handshake-ack-unseen",
		doc:  "the handshake's ACK is lost before the capture point, and the first data completes it",
		how:  "the wire loses one frame",
		run: func(l *lab) {
			l.lose(l.client, ".", 1, before)
			ln := l.tcp(l.server, serverPort).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			l.must(c.write(100))
			s := ln.accept()
			s.read(100)
			l.goodbye(c, s)
		},
	},
	{
		name: "simultaneous-open",
		doc:  "both ends connect from bound ports and the SYNs cross (RFC 9293 Figure 7)",
		how:  "connect() on both hosts, 60 ms apart by the wire",
		run: func(l *lab) {
			l.latency(30*time.Millisecond, 30*time.Millisecond)
			c, s := l.tcp(l.client, clientPort), l.tcp(l.server, serverPort)
			c.start(l.serverAddr())
			s.start(l.clientAddr())
			l.must(c.ended())
			l.must(s.ended())
			l.quiet(200 * time.Millisecond)
			l.goodbye(c, s)
		},
	},
	{
		name: "defer-accept",
		doc:  "TCP_DEFER_ACCEPT: the server stays SYN_RCVD until data comes",
		how:  "TCP_DEFER_ACCEPT on the listener, data after 400 ms",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort)
			ln.set(unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 5).listen(10)
			c := l.tcp(l.client, clientPort).connect(l.serverAddr())
			l.wait(400 * time.Millisecond)
			l.must(c.write(100))
			s := ln.accept()
			s.read(100)
			l.goodbye(c, s)
		},
		adjust: func(ws []*want) {
			ws[0].untimed("server", "nothing tells before the data whether the ACK was taken", "ESTABLISHED")
		},
	},
	{
		name: "accept-queue-full",
		doc:  "a full accept queue drops the third client's ACK: SYN_RCVD for seconds",
		how:  "listen(1), and no accept() for 3.5 s",
		run: func(l *lab) {
			l.latency(20*time.Millisecond, 20*time.Millisecond)
			ln := l.tcp(l.server, serverPort).listen(1) // room for two
			a := l.tcp(l.client, clientPort).connect(l.serverAddr())
			l.quiet(60 * time.Millisecond)
			// Both SYNs arrive before either ACK, as a SYN that meets a full queue is
			// dropped too.
			b, c := l.tcp(l.client, clientPort+1), l.tcp(l.client, clientPort+2)
			b.start(l.serverAddr())
			c.start(l.serverAddr())
			l.must(b.ended())
			l.must(c.ended())
			l.wait(3500 * time.Millisecond) // two repetitions of the SYN,ACK
			sa, sb := ln.accept(), ln.accept()
			l.must(c.write(100))
			sc := ln.accept()
			sc.read(100)
			l.goodbye(a, sa)
			l.goodbye(b, sb)
			l.goodbye(c, sc)
		},
	},
	{
		name: "syn-cookie",
		doc:  "the server's SYN,ACK carries a cookie: it holds no state until the ACK",
		how:  "tcp_syncookies=2",
		run: func(l *lab) {
			l.sysctl(l.server, "net.ipv4.tcp_syncookies", "2")
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "fast-open",
		doc:  "data on the SYN (RFC 7413), answered before the handshake is over",
		how:  "tcp_fastopen without cookies on both hosts",
		run: func(l *lab) {
			// Server without cookies (0x200), and client.
			l.sysctl(l.server, "net.ipv4.tcp_fastopen", "515")
			l.sysctl(l.client, "net.ipv4.tcp_fastopen", "5")
			l.latency(20*time.Millisecond, 20*time.Millisecond)
			ln := l.tcp(l.server, serverPort)
			ln.set(unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 5).listen(10)
			c := l.tcp(l.client, clientPort)
			c.set(unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
			l.must(unix.Connect(c.fd, sockaddr(l.serverAddr())))
			l.must(c.write(100)) // leaves with the SYN
			s := ln.accept()
			s.read(100)
			l.must(s.write(200))
			c.read(200)
			l.quiet(60 * time.Millisecond)
			l.goodbye(c, s)
		},
	},
	{
		name: "icmp-unreachable",
		doc:  "a router's ICMP host unreachable ends the attempt",
		how:  "the second host is a router with an unreachable route",
		run: func(l *lab) {
			l.sysctl(l.server, "net.ipv4.ip_forward", "1")
			l.ip(l.server, "route add unreachable 203.0.113.0/24")
			c := l.tcp(l.client, clientPort)
			c.start(netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, 7}), serverPort))
			l.expect(c.ended(), unix.EHOSTUNREACH)
		},
	},
	{
		name: "handshake-with-data",
		doc:  "the handshake's third segment carries data, and FIN follows at once",
		how:  "TCP_QUICKACK 0 at connect()",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			c := l.tcp(l.client, clientPort)
			// Without TCP_QUICKACK connect() leaves the ACK to the first data.
			c.set(unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
			c.connect(l.serverAddr())
			l.must(c.write(100))
			c.shutdown()
			s := ln.accept()
			s.read(100)
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			s.close()
			l.must(c.eof())
			c.close()
		},
	},
	{
		name: "seq-wrap",
		doc:  "the client's sequence numbers wrap within the request",
		how:  "TCP_REPAIR sets the ISN to 2^32 - 50",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			c := l.tcp(l.client, clientPort).isn(1<<32 - 50).connect(l.serverAddr())
			s := ln.accept()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
}

// expect fails the scenario unless the error is the expected one.
func (l *lab) expect(err, want error) {
	if !errors.Is(err, want) {
		l.must(errors.Join(errors.New("expected "+want.Error()), err, errUnexpected))
	}
}

var errUnexpected = errors.New("the kernel did something else")
