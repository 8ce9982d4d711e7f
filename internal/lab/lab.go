//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

// A scenario is one capture: what two hosts and the wire between them do.
type scenario struct {
	name string
	doc  string // what the capture shows, in a line
	how  string // how it was made, if plain sockets are not all
	run  func(*lab)
	// adjust, if set, says where the capture can't show what the kernels did, or
	// shows more than the general rules of truth.go expect. Each call gives its
	// reason.
	adjust func([]*want)
	long   bool // takes more than 10 s
	v6     bool
}

// A lab is a scenario in progress.
type lab struct {
	client, server *host
	wire           *wire
	addrs          [2]netip.Addr
	socks          []*sock
	closes         []closing
	began          time.Duration // CLOCK_MONOTONIC
	log            []string      // what a random scenario did
	over           time.Time     // when it ended; what its sockets do then does not count
	kind           int           // protocol of the sockets; 0: TCP or UDP
}

// A closing is a call of close().
type closing struct {
	h *host
	t time.Time
}

// failure ends a scenario.
type failure struct{ err error }

func (l *lab) must(err error) {
	if err != nil {
		panic(failure{fmt.Errorf("%w\n%s", err, debug.Stack())})
	}
}

func (l *lab) closed(s *sock) { l.closes = append(l.closes, closing{s.h, time.Now()}) }

// play runs a scenario on two new hosts, and returns its capture and what the
// kernels say of it, and by how much the wire was late. Hosts of different n have
// different addresses, so that scenarios can share one trace.
func play(sc scenario, n int, t *tracer) (pcap, text []byte, late time.Duration, err error) {
	l, ws, err := perform(sc, n, t)
	if err != nil {
		return nil, nil, 0, err
	}
	pcap, err = l.pcap()
	return pcap, l.text(sc, ws), l.wire.late, err
}

// perform runs a scenario, and returns the finished lab and what the kernels say.
func perform(sc scenario, n int, t *tracer) (*lab, []*want, error) {
	l := &lab{addrs: [2]netip.Addr{
		netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}),
	}}
	if sc.v6 {
		for i := range l.addrs {
			l.addrs[i] = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(i + 1), 15: byte(n)})
		}
	}
	var offset time.Duration
	var err error
	l.began, offset = monotonic()
	if l.client, err = newHost("client", l.addrs[0], 1); err != nil {
		return nil, nil, err
	}
	defer l.client.close()
	if l.server, err = newHost("server", l.addrs[1], 2); err != nil {
		return nil, nil, err
	}
	defer l.server.close()
	l.wire = newWire(l.client, l.server)
	err = func() (err error) {
		defer func() {
			if e, ok := recover().(failure); ok {
				err = e.err
			}
		}()
		sc.run(l)
		l.quiet(100 * time.Millisecond)
		return nil
	}()
	l.wire.close()
	changes, terr := t.of(l.began, l.addrs[:]...)
	for _, s := range l.socks {
		if s.fd >= 0 {
			s.linger0() // else it would live on as an orphan, and its namespace with it
			unix.Close(s.fd)
		}
	}
	for _, e := range []error{err, l.wire.err, terr} {
		if e != nil {
			return nil, nil, e
		}
	}
	ws := l.wants(changes, offset)
	if sc.adjust != nil {
		sc.adjust(ws)
	}
	return l, ws, nil
}

// text returns what the kernels say, as a file.
func (l *lab) text(sc scenario, ws []*want) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n", sc.name, sc.doc)
	for _, s := range l.log {
		fmt.Fprintf(&b, "# %s\n", s)
	}
	common := len(ws) > 1
	for _, w := range ws {
		common = common && slices.Equal(w.Notes, ws[0].Notes)
	}
	if common {
		for _, n := range ws[0].Notes {
			fmt.Fprintf(&b, "# %s\n", n)
		}
	}
	for _, w := range ws {
		if common {
			w.Notes = nil
		}
		b.WriteByte('\n')
		w.write(&b)
	}
	return []byte(b.String())
}

// pcap returns the capture as a file.
func (l *lab) pcap() ([]byte, error) {
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(1<<16, layers.LinkTypeEthernet); err != nil {
		return nil, err
	}
	for _, f := range l.wire.captured {
		for _, p := range f.packets {
			if l.wire.vlan {
				p = append(append(append([]byte(nil), p[:12]...), 0x81, 0, 0, 42), p[12:]...)
			}
			ci := gopacket.CaptureInfo{Timestamp: f.caught, CaptureLength: len(p), Length: len(p)}
			if err := w.WritePacket(ci, p); err != nil {
				return nil, err
			}
		}
	}
	return b.Bytes(), nil
}

func save(dir, name string, pcap, text []byte) error {
	if err := os.WriteFile(filepath.Join(dir, name+".pcap"), pcap, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".want"), text, 0o644)
}

// What scenarios say.

const (
	clientPort = 40000
	serverPort = 80
)

// open makes a connection and returns its ends.
func (l *lab) open() (c, s *sock) {
	ln := l.tcp(l.server, serverPort).listen(10)
	c = l.tcp(l.client, clientPort).connect(l.serverAddr())
	return c, ln.accept()
}

func (l *lab) serverAddr() netip.AddrPort { return netip.AddrPortFrom(l.server.addr, serverPort) }
func (l *lab) clientAddr() netip.AddrPort { return l.clientAddrAt(clientPort) }

func (l *lab) clientAddrAt(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(l.client.addr, port)
}

// exchange sends a request and its response.
func (l *lab) exchange(c, s *sock) {
	l.must(c.write(100))
	s.read(100)
	l.must(s.write(200))
	c.read(200)
	l.quiet(60 * time.Millisecond) // longer than the kernel delays an ACK
}

// quiet waits until no frame has moved for d.
func (l *lab) quiet(d time.Duration) {
	began := time.Now()
	for {
		since := began
		if t := time.Unix(0, l.wire.busy.Load()); t.After(since) {
			since = t
		}
		rest := d - time.Since(since)
		if l.wire.pending.Load() > 0 {
			rest = max(rest, time.Millisecond)
		}
		if rest <= 0 {
			return
		}
		if time.Since(began) > patience {
			l.must(errors.New("the wire is never quiet"))
		}
		time.Sleep(rest)
	}
}

// wait lets the time pass in which something is expected not to happen, or to
// happen by the clock.
func (l *lab) wait(d time.Duration) { time.Sleep(d) }

// clock moves the capture's clock by a frame that is not TCP.
func (l *lab) clock() {
	s := l.socket(l.client, unix.SOCK_DGRAM)
	l.must(unix.Sendto(s.fd, []byte("tick"), 0, sockaddr(netip.AddrPortFrom(l.server.addr, 9))))
	l.quiet(20 * time.Millisecond)
	s.close()
}

// rule adds a rule of the wire.
func (l *lab) rule(r func(*frame, *fate)) {
	l.wire.do(func() { l.wire.rule = append(l.wire.rule, r) })
}

// on applies a rule to the first n TCP frames of a host that have these flags.
// No flags: any.
func (l *lab) on(h *host, flags string, n int, r func(*fate)) {
	l.rule(func(f *frame, ft *fate) {
		if f.from == h && f.tcp != nil && (flags == "" || f.flags == flags) && n > 0 {
			n--
			r(ft)
		}
	})
}

// lose makes the wire lose the first n such frames.
func (l *lab) lose(h *host, flags string, n int, where place) {
	l.on(h, flags, n, func(ft *fate) { ft.lost = where })
}

// always is more frames than any scenario has.
const always = 1 << 30

// sysctl sets a parameter of a host's kernel.
func (l *lab) sysctl(h *host, name, value string) {
	l.must(h.do(func() error { return setSysctl(name, value) }))
}

// position returns what the last segment from src to dst said.
func (l *lab) position(src, dst netip.AddrPort) (p position) {
	l.wire.do(func() { p = l.wire.flows[pair{src, dst}] })
	return p
}

// capturing starts or stops the capture.
func (l *lab) capturing(on bool) { l.wire.do(func() { l.wire.off = !on }) }

// latency sets the time from the client to the capture point, and from there to
// the server.
func (l *lab) latency(client, server time.Duration) {
	l.wire.do(func() { l.wire.near = [2]time.Duration{client, server} })
}

// ip runs a command of iproute2 on a host.
func (l *lab) ip(h *host, args string) {
	l.must(h.do(func() error {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	}))
}
