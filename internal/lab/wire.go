//go:build linux

package main

import (
	"container/heap"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// A wire carries frames between the TAP devices of two hosts. It delays, loses,
// doubles and forges them as a scenario demands, records them at one point of
// the path, and asks both kernels for their minisocks before and after each
// delivery: nothing that a segment does to them can be missed.
type wire struct {
	hosts [2]*host
	// near is the time from each host to the capture point. A frame needs the
	// sum of both to get across.
	near [2]time.Duration
	mtu  int  // IPv4 packets without DF are cut to this size; 0: no limit
	vlan bool // the capture point is a trunk that tags frames
	off  bool // the capture is not running
	keep func(*frame) bool
	rule []func(*frame, *fate)

	frames  chan *frame
	calls   chan func()
	stop    chan struct{}
	done    sync.WaitGroup
	queue   events
	seq     int
	late    time.Duration // by which an event missed its time, at most
	busy    atomic.Int64  // when the last frame moved
	pending atomic.Int64  // frames on their way

	captured []*frame          // in order of capture
	arrived  []*frame          // in order of arrival at a host
	snaps    [2][]snap         // of each host, in order of time
	flows    map[pair]position // by sender and receiver
	err      error
}

// A frame is one on its way. Copies and repetitions are frames of their own.
type frame struct {
	from     *host // nil: forged
	to       *host // nil: nobody has the address
	sent     time.Time
	caught   time.Time // at the capture point; zero: not captured
	came     time.Time // to its host; zero: it did not
	packets  [][]byte  // Ethernet; several if fragmented
	src, dst netip.AddrPort
	tcp      *layers.TCP // nil: other protocol
	flags    string      // as tcpdump prints them, without PSH
	size     int         // of payload
}

// A fate is what happens to a frame. The zero value is that it gets across.
type fate struct {
	lost   place
	hold   time.Duration // longer before the capture point
	slow   time.Duration // longer behind the capture point
	copies int           // further copies, each 2 ms later
	again  time.Duration // a copy as much later; 0: none
}

// A place is where a frame is lost.
type place int

const (
	nowhere place = iota
	before        // the capture point: not captured
	beyond        // the capture point: captured, but never delivered
)

// A position is what the last segment of a flow said.
type position struct{ nxt, ack uint32 }

// A snap is the minisocks of a host at one moment between two times.
type snap struct {
	from, to time.Time
	socks    map[pair]string
}

type event struct {
	due time.Time
	seq int // events due at the same time keep their order
	do  func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].seq < q[j].seq
	}
	return q[i].due.Before(q[j].due)
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(e any)   { *q = append(*q, e.(event)) }
func (q *events) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

func newWire(client, server *host) *wire {
	w := &wire{
		hosts:  [2]*host{client, server},
		near:   [2]time.Duration{time.Millisecond, time.Millisecond},
		frames: make(chan *frame, 100),
		calls:  make(chan func()),
		stop:   make(chan struct{}),
		flows:  map[pair]position{},
	}
	w.busy.Store(time.Now().UnixNano())
	for _, h := range w.hosts {
		go w.listen(h)
	}
	w.done.Add(1)
	go w.run()
	return w
}

// listen ends when the TAP device is closed.
func (w *wire) listen(h *host) {
	buf := make([]byte, 1<<16)
	for {
		n, err := h.tap.Read(buf)
		if err != nil {
			return
		}
		f := parse(append([]byte(nil), buf[:n]...))
		if f == nil {
			continue
		}
		f.from, f.sent = h, time.Now()
		select {
		case w.frames <- f:
		case <-w.stop:
			return
		}
	}
}

// parse returns nil for what belongs to no scenario, such as neighbour discovery.
func parse(data []byte) *frame {
	p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.NoCopy)
	f := &frame{packets: [][]byte{data}}
	var src, dst netip.Addr
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		src, _ = netip.AddrFromSlice(ip.SrcIP.To4())
		dst, _ = netip.AddrFromSlice(ip.DstIP.To4())
	case *layers.IPv6:
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
	default:
		return nil
	}
	var sport, dport uint16
	switch {
	case p.Layer(layers.LayerTypeTCP) != nil:
		f.tcp = p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		f.size = len(f.tcp.Payload)
		sport, dport = uint16(f.tcp.SrcPort), uint16(f.tcp.DstPort)
		var b strings.Builder
		for _, x := range []struct {
			set  bool
			char byte
		}{{f.tcp.SYN, 'S'}, {f.tcp.FIN, 'F'}, {f.tcp.RST, 'R'}, {f.tcp.URG, 'U'}, {f.tcp.ACK, '.'}} {
			if x.set {
				b.WriteByte(x.char)
			}
		}
		f.flags = b.String()
	case p.Layer(layers.LayerTypeUDP) != nil, p.Layer(layers.LayerTypeICMPv4) != nil:
	default:
		return nil
	}
	f.src, f.dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return f
}

func (w *wire) run() {
	defer w.done.Done()
	timer := time.NewTimer(0)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for len(w.queue) > 0 && !time.Now().Before(w.queue[0].due) {
			e := heap.Pop(&w.queue).(event)
			w.late = max(w.late, time.Since(e.due))
			e.do()
			w.pending.Add(-1)
			w.busy.Store(time.Now().UnixNano())
		}
		wait := time.Hour
		if len(w.queue) > 0 {
			wait = time.Until(w.queue[0].due)
		}
		timer.Reset(wait)
		select {
		case f := <-w.frames:
			w.busy.Store(time.Now().UnixNano())
			w.snap(f.from)
			w.enter(f)
		case call := <-w.calls:
			call()
		case <-tick.C:
			w.snap(w.hosts[0])
			w.snap(w.hosts[1])
		case <-timer.C:
		case <-w.stop:
			return
		}
	}
}

// do runs f where no frame moves meanwhile.
func (w *wire) do(f func()) {
	done := make(chan struct{})
	w.calls <- func() { f(); close(done) }
	<-done
}

func (w *wire) close() {
	close(w.stop)
	w.done.Wait()
}

func (w *wire) at(d time.Duration, f func()) {
	w.seq++
	w.pending.Add(1)
	heap.Push(&w.queue, event{time.Now().Add(d), w.seq, f})
}

func (w *wire) index(h *host) int {
	if h == w.hosts[1] {
		return 1
	}
	return 0
}

// enter takes a frame from a host.
func (w *wire) enter(f *frame) {
	i := w.index(f.from)
	// The server may be a router; the client is a host.
	if i == 0 || f.dst.Addr() == w.hosts[0].addr {
		f.to = w.hosts[1-i]
	}
	var ft fate
	for _, r := range w.rule {
		r(f, &ft)
	}
	if f.tcp != nil {
		nxt := f.tcp.Seq + uint32(f.size)
		if f.tcp.SYN || f.tcp.FIN {
			nxt++
		}
		w.flows[pair{f.src, f.dst}] = position{nxt, f.tcp.Ack}
	}
	if ft.lost == before {
		return
	}
	if w.mtu > 0 && f.src.Addr().Is4() {
		f.packets = fragment(f.packets[0], w.mtu)
	}
	send := func(later time.Duration) {
		g := *f
		w.at(w.near[i]+ft.hold+later, func() {
			w.capture(&g)
			if ft.lost == nowhere && g.to != nil {
				w.at(w.near[1-i]+ft.slow, func() { w.deliver(&g) })
			}
		})
	}
	for n := range ft.copies + 1 {
		send(time.Duration(n) * 2 * time.Millisecond)
	}
	if ft.again > 0 {
		send(ft.again)
	}
}

func (w *wire) capture(f *frame) {
	if w.off || w.keep != nil && !w.keep(f) {
		return
	}
	f.caught = time.Now()
	w.captured = append(w.captured, f)
}

func (w *wire) deliver(f *frame) {
	w.snap(f.to)
	f.came = time.Now()
	w.arrived = append(w.arrived, f)
	for _, p := range f.packets {
		b := append([]byte(nil), p...)
		copy(b, f.to.mac[:])
		// The kernel takes the segment before the call returns.
		if _, err := f.to.tap.Write(b); err != nil && w.err == nil {
			w.err = err
		}
	}
	w.snap(f.to)
}

func (w *wire) snap(h *host) {
	family := uint8(unix.AF_INET)
	if h.addr.Is6() {
		family = unix.AF_INET6
	}
	s := snap{from: time.Now()}
	var err error
	if s.socks, err = dump(h.diag, family); err != nil && w.err == nil {
		w.err = err
	}
	s.to = time.Now()
	i := w.index(h)
	w.snaps[i] = append(w.snaps[i], s)
}

// A forged segment.
type forged struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    string // as in frame
	tsval    uint32 // 0: no timestamps option
	bad      bool   // wrong checksum
	closed   bool   // as hosts without that socket answer: no window
	size     int
}

// forge puts a segment on the wire at the capture point.
func (w *wire) forge(s forged) {
	eth, ip := network(s.src.Addr(), s.dst.Addr(), layers.IPProtocolTCP)
	has := func(c string) bool { return strings.Contains(s.flags, c) }
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(s.src.Port()), DstPort: layers.TCPPort(s.dst.Port()),
		Seq: s.seq, Ack: s.ack, Window: 64240,
		SYN: has("S"), FIN: has("F"), RST: has("R"), ACK: has("."), PSH: has("P"), URG: has("U"),
	}
	if s.closed {
		tcp.Window = 0
	}
	if s.tsval != 0 {
		tcp.Options = append(tcp.Options, layers.TCPOption{
			OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10,
			OptionData: []byte{byte(s.tsval >> 24), byte(s.tsval >> 16), byte(s.tsval >> 8), byte(s.tsval), 0, 0, 0, 0},
		})
	}
	if err := tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
		panic(err)
	}
	data := serialize(eth, ip, tcp, gopacket.Payload(strings.Repeat("y", s.size)))
	if s.bad {
		n := 14 + 20
		if s.src.Addr().Is6() {
			n = 14 + 40
		}
		data[n+16] ^= 0x55
	}
	w.insert(data, s.dst.Addr())
}

// network returns the headers below the transport's of what the lab makes itself.
func network(src, dst netip.Addr, proto layers.IPProtocol) (eth, ip gopacket.SerializableLayer) {
	e := &layers.Ethernet{SrcMAC: gatewayMAC[:], DstMAC: gatewayMAC[:], EthernetType: layers.EthernetTypeIPv4}
	if src.Is6() {
		e.EthernetType = layers.EthernetTypeIPv6
		return e, &layers.IPv6{
			Version: 6, HopLimit: 61, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
		}
	}
	return e, &layers.IPv4{
		Version: 4, TTL: 61, Protocol: proto, Id: 1, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
	}
}

func serialize(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, opts, l...); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// unreachable puts a router's ICMP destination unreachable on the wire at the
// capture point, to the IPv4 host whose packet it quotes.
func (w *wire) unreachable(quoted *frame, code uint8) {
	router := netip.AddrFrom4([4]byte{203, 0, 113, 1})
	eth, ip := network(router, quoted.src.Addr(), layers.IPProtocolICMPv4)
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, code)}
	packet := quoted.packets[0][14:]
	w.insert(serialize(eth, ip, icmp, gopacket.Payload(packet[:min(len(packet), 28)])), quoted.src.Addr())
}

// repeat puts a copy of the nth captured frame on the wire at the capture point.
func (w *wire) repeat(n int) {
	w.do(func() {
		f := *w.captured[n]
		w.busy.Store(time.Now().UnixNano())
		w.capture(&f)
		w.at(w.near[w.index(f.to)], func() { w.deliver(&f) })
	})
}

// insert puts a frame of the lab's own on the wire at the capture point.
func (w *wire) insert(data []byte, dst netip.Addr) {
	f := parse(data)
	f.sent = time.Now()
	for _, h := range w.hosts {
		if h.addr == dst {
			f.to = h
		}
	}
	w.do(func() {
		w.busy.Store(time.Now().UnixNano())
		w.capture(f)
		if f.to != nil {
			w.at(w.near[w.index(f.to)], func() { w.deliver(f) })
		}
	})
}

// fragment cuts an IPv4 packet in Ethernet as a router would, unless it forbids
// that.
func fragment(data []byte, mtu int) [][]byte {
	const header, dontFragment = 14 + 20, 0x40
	if len(data) <= 14+mtu || data[14+6]&dontFragment != 0 {
		return [][]byte{data}
	}
	step := (mtu - 20) &^ 7
	var out [][]byte
	for at, rest := 0, data[header:]; len(rest) > 0; at += step {
		n := min(step, len(rest))
		p := append([]byte(nil), data[:header]...)
		p = append(p, rest[:n]...)
		rest = rest[n:]
		ip := p[14:header]
		ip[2], ip[3] = byte((20+n)>>8), byte(20+n)
		ip[6], ip[7] = byte(at/8>>8), byte(at/8)
		if len(rest) > 0 {
			ip[6] |= 0x20 // more fragments
		}
		ip[10], ip[11] = 0, 0
		var sum uint32
		for i := 0; i < 20; i += 2 {
			sum += uint32(ip[i])<<8 | uint32(ip[i+1])
		}
		for sum>>16 != 0 {
			sum = sum&0xffff + sum>>16
		}
		ip[10], ip[11] = byte(^sum>>8), byte(^sum)
		out = append(out, p)
	}
	return out
}
