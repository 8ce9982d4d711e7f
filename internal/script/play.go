package script

import (
	"cmp"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// Epoch is the beginning of every script's clock.
var Epoch = capture.Time(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC).UnixNano())

// An Event is what a tracker is told of one frame: a segment, an ICMP error, or,
// where both are nil, only its time.
type Event struct {
	Step    *Step
	Time    capture.Time
	Frame   uint64 // from 1
	Segment *decode.Segment
	ICMP    *decode.ICMPError
}

// Events turns the script into what a tracker is told of it, given the initial
// sequence numbers of A and of B.
func (s *Script) Events(isnA, isnB uint32) []Event {
	isnA, isnB = isnA+s.isn[0], isnB+s.isn[1]
	all := make([]Event, len(s.Steps))
	for i := range s.Steps {
		st := &s.Steps[i]
		e := Event{Step: st, Time: Epoch.Add(st.At), Frame: uint64(i + 1)}
		src, dst, isn, peer := s.A, s.B, isnA, isnB
		if st.FromB {
			src, dst, isn, peer = dst, src, peer, isn
		}
		switch {
		case st.seg != nil:
			e.Segment = st.seg.decoded(isn, peer)
			e.Segment.Time, e.Segment.Frame = e.Time, e.Frame
			e.Segment.Src, e.Segment.SrcPort = addr(src.Addr()), src.Port()
			e.Segment.Dst, e.Segment.DstPort = addr(dst.Addr()), dst.Port()
			e.Segment.HasIPID = src.Addr().Is4() && st.seg.id != 0
			e.Segment.Wire = uint32(len(s.frame(st, isnA, isnB)))
			e.Segment.Headers = uint16(20 + 20 + (st.seg.optLen()+3)/4*4)
			if src.Addr().Is6() {
				e.Segment.Headers += 20
			}
		case st.icmp != nil:
			typ, code, v6 := st.icmp.typeCode(src.Addr())
			e.ICMP = &decode.ICMPError{
				Time: e.Time, Frame: e.Frame, From: addr(st.icmp.sender(src.Addr())), V6: v6, Type: typ, Code: code,
				Src: addr(dst.Addr()), SrcPort: dst.Port(), Dst: addr(src.Addr()), DstPort: src.Port(),
				Seq: peer + uint32(st.icmp.seq),
			}
		}
		all[i] = e
	}
	return all
}

func addr(a netip.Addr) decode.Addr { return a.As16() }

// decoded returns what a decoder makes of the segment, addresses aside.
func (g *segment) decoded(isn, peer uint32) *decode.Segment {
	d := &decode.Segment{
		Seq: isn + uint32(g.seq), Len: uint32(g.len), Wnd: uint16(g.wnd), Flags: g.flags, Checksum: decode.ChecksumGood,
		Opts: g.opts, Scale: uint8(g.scale), MSS: uint16(g.mss), TSVal: uint32(g.val), TSEcr: uint32(g.ecr),
		IPID: uint16(g.id), TTL: uint8(g.ttl),
	}
	if g.flags.Has(decode.ACK) {
		d.Ack = peer + uint32(g.ack)
	}
	high := g.ack
	for _, b := range g.sack {
		if b[1] > high {
			high = b[1]
			d.Opts |= decode.OptSACK
			d.SACKEdge = peer + uint32(b[1])
		}
	}
	switch {
	case g.badsum:
		d.Checksum = decode.ChecksumBad
	case g.offl:
		d.Checksum = decode.ChecksumOffload
	}
	if g.trim && (g.len > 0 || g.optLen() > 0) {
		d.Cut, d.Checksum = true, decode.ChecksumUnknown
		d.Opts, d.Scale, d.MSS, d.TSVal, d.TSEcr, d.SACKEdge = 0, 0, 0, 0, 0, 0
		if g.optLen() > 0 {
			d.Opts = decode.OptCut | decode.OptUnknown
		}
	}
	return d
}

// typeCode returns type and code of the error, in the family of the ends.
func (e *icmp) typeCode(end netip.Addr) (typ, code uint8, v6 bool) {
	v6 = !end.Is4()
	typ, code, _ = decode.ICMPCode(v6, e.name) // check has seen that there is one
	return typ, code, v6
}

func (e *icmp) sender(other netip.Addr) netip.Addr {
	if e.from.IsValid() {
		return e.from
	}
	return other
}

// WritePcap writes the scripts' frames as a pcap file, in the order of their
// times where there are several scripts. Every script has these ISNs, its copies
// others.
func WritePcap(w io.Writer, isnA, isnB uint32, all ...*Script) error {
	pw := pcapgo.NewWriterNanos(w)
	if err := pw.WriteFileHeader(262144, layers.LinkTypeEthernet); err != nil {
		return err
	}
	for _, at := range merged(all) {
		s, st := at.Script, at.Step
		data := s.frame(st, isnA+s.isn[0], isnB+s.isn[1])
		ci := gopacket.CaptureInfo{Timestamp: Epoch.Add(st.At).UTC(), CaptureLength: len(data), Length: len(data)}
		if st.seg != nil && st.seg.trim {
			ci.CaptureLength = ethernetLen + ipLen(s.A.Addr()) + 20
		}
		if err := pw.WritePacket(ci, data[:ci.CaptureLength]); err != nil {
			return err
		}
	}
	return nil
}

// A place is a step of a script.
type place struct {
	*Script
	*Step
}

// merged returns the steps of all copies of the scripts in the order of their
// times, those of one script in their own.
func merged(scripts []*Script) []place {
	var all []place
	for _, s := range scripts {
		for _, c := range s.Copies() {
			for i := range c.Steps {
				all = append(all, place{c, &c.Steps[i]})
			}
		}
	}
	// A clock that steps back within a script moves what follows in it alone.
	key := make(map[*Step]time.Duration, len(all))
	var last place
	for _, p := range all {
		key[p.Step] = p.At
		if p.Script == last.Script {
			key[p.Step] = max(p.At, key[last.Step])
		}
		last = p
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(key[a.Step], key[b.Step]) })
	return all
}

// Merge turns scripts, and all copies of them, into what a tracker is told of one
// capture of them. It returns each copy with its events.
func Merge(scripts []*Script, isnA, isnB uint32) (events []Event, of []*Script) {
	told := make(map[*Script][]Event)
	for i, p := range merged(scripts) {
		if told[p.Script] == nil {
			told[p.Script] = p.Events(isnA, isnB)
		}
		e := told[p.Script][0]
		told[p.Script] = told[p.Script][1:]
		e.Frame = uint64(i + 1)
		if e.Segment != nil {
			e.Segment.Frame = e.Frame
		}
		if e.ICMP != nil {
			e.ICMP.Frame = e.Frame
		}
		events, of = append(events, e), append(of, p.Script)
	}
	return events, of
}

const ethernetLen = 14

func ipLen(a netip.Addr) int {
	if a.Is4() {
		return 20
	}
	return 40
}

const optionFastOpen = 34 // RFC 7413 §4.1.1

// cookie is what every Fast Open option of a script holds.
var cookie = []byte("tcp life")

// frame returns the step's frame as it was on the wire.
func (s *Script) frame(st *Step, isnA, isnB uint32) []byte {
	src, dst, isn, peer := s.A, s.B, isnA, isnB
	if st.FromB {
		src, dst, isn, peer = dst, src, peer, isn
	}
	switch {
	case st.seg != nil:
		return st.seg.frame(src, dst, isn, peer)
	case st.icmp != nil:
		quoted := &segment{flags: decode.SYN, seq: st.icmp.seq, wnd: 64240, ttl: 60}
		quote := gopacket.Payload(quoted.frame(dst, src, peer, isn)[ethernetLen : ethernetLen+ipLen(dst.Addr())+20])
		typ, code, v6 := st.icmp.typeCode(src.Addr())
		from := st.icmp.sender(src.Addr())
		if v6 {
			unused := gopacket.Payload(make([]byte, 4))
			return serialize(from, dst.Addr(), 0, 64, layers.IPProtocolICMPv6,
				&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}, unused, quote)
		}
		return serialize(from, dst.Addr(), 0, 64, layers.IPProtocolICMPv4,
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code)}, quote)
	}
	discard := layers.UDPPort(9) // RFC 863
	return serialize(src.Addr(), dst.Addr(), 0, 64, layers.IPProtocolUDP, &layers.UDP{SrcPort: discard, DstPort: discard})
}

// frame returns the segment's frame as it was on the wire.
func (g *segment) frame(src, dst netip.AddrPort, isn, peer uint32) []byte {
	f := g.flags
	t := &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: isn + uint32(g.seq), Window: uint16(g.wnd),
		FIN: f.Has(decode.FIN), SYN: f.Has(decode.SYN), RST: f.Has(decode.RST), PSH: f.Has(decode.PSH),
		ACK: f.Has(decode.ACK), URG: f.Has(decode.URG), ECE: f.Has(decode.ECE), CWR: f.Has(decode.CWR),
	}
	if t.ACK {
		t.Ack = peer + uint32(g.ack)
	}
	option := func(kind layers.TCPOptionKind, data []byte) {
		t.Options = append(t.Options, layers.TCPOption{OptionType: kind, OptionLength: uint8(2 + len(data)), OptionData: data})
	}
	be := binary.BigEndian
	if g.opts.Has(decode.OptMSS) {
		option(layers.TCPOptionKindMSS, be.AppendUint16(nil, uint16(g.mss)))
	}
	if g.opts.Has(decode.OptScale) {
		option(layers.TCPOptionKindWindowScale, []byte{byte(g.scale)})
	}
	if g.opts.Has(decode.OptSACKPermitted) {
		option(layers.TCPOptionKindSACKPermitted, nil)
	}
	if g.opts.Has(decode.OptTimestamps) {
		option(layers.TCPOptionKindTimestamps, be.AppendUint32(be.AppendUint32(nil, uint32(g.val)), uint32(g.ecr)))
	}
	if len(g.sack) > 0 {
		var data []byte
		for _, b := range g.sack {
			data = be.AppendUint32(be.AppendUint32(data, peer+uint32(b[0])), peer+uint32(b[1]))
		}
		option(layers.TCPOptionKindSACK, data)
	}
	if g.opts.Has(decode.OptFastOpen) {
		option(optionFastOpen, cookie)
	}
	payload := make(gopacket.Payload, g.len)
	for i := range payload {
		payload[i] = 'a' + byte((uint32(g.seq)+uint32(i))%26) // a retransmission holds what the original did
	}
	data := serialize(src.Addr(), dst.Addr(), uint16(g.id), uint8(g.ttl), layers.IPProtocolTCP, t, payload)
	sum := data[ethernetLen+ipLen(src.Addr())+16:]
	switch {
	case g.badsum:
		sum[0] ^= 1
	case g.offl:
		be.PutUint16(sum, pseudoHeaderSum(src.Addr(), dst.Addr(), 20+(g.optLen()+3)/4*4+len(payload)))
	}
	return data
}

// pseudoHeaderSum is what a host leaves in the checksum for its network card to
// finish: the sum of RFC 9293 §3.1's pseudo-header, not complemented.
func pseudoHeaderSum(src, dst netip.Addr, length int) uint16 {
	n := uint32(layers.IPProtocolTCP) + uint32(length)
	b := append(src.AsSlice(), dst.AsSlice()...)
	for i := 0; i < len(b); i += 2 {
		n += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}

// serialize puts an Ethernet and an IP header before the layers l, the first of
// which is of protocol proto.
func serialize(src, dst netip.Addr, id uint16, ttl uint8, proto layers.IPProtocol, l ...gopacket.SerializableLayer) []byte {
	eth := &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		EthernetType: layers.EthernetTypeIPv6,
	}
	var network gopacket.SerializableLayer
	var sum gopacket.NetworkLayer
	if src.Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		ip := &layers.IPv4{Version: 4, Id: id, TTL: ttl, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		if id == 0 {
			ip.Flags = layers.IPv4DontFragment // RFC 6864 §4.1: only then has 0 no meaning
		}
		network, sum = ip, ip
	} else {
		ip := &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		network, sum = ip, ip
	}
	if c, ok := l[0].(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		if err := c.SetNetworkLayerForChecksum(sum); err != nil {
			panic(err) // both kinds of IP header are accepted
		}
	}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		append([]gopacket.SerializableLayer{eth, network}, l...)...)
	if err != nil {
		panic(err) // Parse lets only what fits into the headers pass
	}
	return buf.Bytes()
}
