//go:build linux

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

var vantages = []scenario{
	{
		name: "midstream",
		doc:  "the capture begins when the connection is in use",
		how:  "capture started late",
		run: func(l *lab) {
			l.capturing(false)
			c, s := l.open()
			l.exchange(c, s)
			l.wait(200 * time.Millisecond)
			l.capturing(true)
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
	{
		name: "capture-stopped",
		doc:  "the capture ends while the connection is in use",
		how:  "capture stopped early",
		run: func(l *lab) {
			c, s := l.open()
			l.exchange(c, s)
			l.capturing(false)
			l.wait(200 * time.Millisecond)
			l.goodbye(c, s)
		},
	},
	{
		name: "one-sided",
		doc:  "only the client's segments are captured",
		how:  "frames of one host recorded",
		run: func(l *lab) {
			l.wire.do(func() { l.wire.keep = func(f *frame) bool { return f.from == l.client } })
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
		adjust: func(ws []*want) {
			ws[0].accept("client", "what acknowledges its FIN is not in the capture", "SYN_SENT ESTABLISHED FIN_WAIT_1 FIN_WAIT_2? TIME_WAIT?")
			ws[0].accept("server", "is not in the capture; the client's acknowledgments tell something", "SYN_RCVD? ESTABLISHED? CLOSE_WAIT? LAST_ACK? CLOSED?")
		},
	},
	{
		name: "one-sided-server",
		doc:  "only the server's segments are captured, and the server closes first",
		how:  "frames of one host recorded",
		run: func(l *lab) {
			l.wire.do(func() { l.wire.keep = func(f *frame) bool { return f.from == l.server } })
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(s, c)
		},
		adjust: func(ws []*want) {
			ws[0].accept("client", "is not in the capture; the server's acknowledgments tell something", "SYN_SENT? ESTABLISHED? CLOSE_WAIT? LAST_ACK? CLOSED?")
			ws[0].accept("server", "what acknowledges its FIN is not in the capture", "SYN_RCVD ESTABLISHED FIN_WAIT_1 FIN_WAIT_2? TIME_WAIT?")
		},
	},
	{
		name: "ip-fragments",
		doc:  "a 576 octet link cuts data and FIN into IPv4 fragments",
		how:  "IP_PMTUDISC_DONT; the wire cuts packets to 576 octets",
		run: func(l *lab) {
			ln := l.tcp(l.server, serverPort).listen(10)
			c := l.tcp(l.client, clientPort)
			c.set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
			l.wire.do(func() { l.wire.mtu = 576 })
			c.connect(l.serverAddr())
			s := ln.accept()
			// The FIN goes with the data.
			c.set(unix.IPPROTO_TCP, unix.TCP_CORK, 1)
			l.must(c.write(1300))
			c.shutdown()
			s.read(1300)
			l.must(s.eof())
			l.quiet(60 * time.Millisecond)
			s.close()
			l.must(c.eof())
			c.close()
		},
	},
	{
		name: "vlan",
		doc:  "captured on a trunk, with 802.1Q tags",
		how:  "the lab adds the tag (ID 42)",
		run: func(l *lab) {
			l.wire.do(func() { l.wire.vlan = true })
			c, s := l.open()
			l.exchange(c, s)
			l.goodbye(c, s)
		},
	},
}
