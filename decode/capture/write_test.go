package capture

import (
	"bytes"
	"encoding/binary"
)

// Writers of capture files, which can write what no sane program would.

// sample is a packet as the tests write and expect it.
type sample struct {
	Time     Time
	LinkType uint32
	Length   uint32
	Data     string
}

// samples are packets whose times a clock of microseconds can tell.
var samples = []sample{
	{1700000000_000001_000, 1, 60, "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\x08\x00"},
	{1700000000_000002_000, 1, 1514, "captured in part"},
	{1700000001_999999_000, 1, 5, "12345"},
	{1700000001_999999_000, 1, 0, ""},
	{1600000000_500000_000, 1, 7, "earlier"},
	{4294967295_000000_000, 1, 1, "!"},
}

type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// A pcapWriter writes pcap files.
type pcapWriter struct {
	order        order
	magic        uint32
	major, minor uint16
	snaplen      uint32
	link         uint32
	unit         Time // ns that a fraction counts
	modified     bool
}

func newPcapWriter(o order) pcapWriter {
	return pcapWriter{order: o, magic: 0xa1b2c3d4, major: 2, minor: 4, snaplen: 65535, link: 1, unit: 1000}
}

func (w pcapWriter) header() []byte {
	b := w.order.AppendUint32(nil, w.magic)
	b = w.order.AppendUint16(b, w.major)
	b = w.order.AppendUint16(b, w.minor)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // time zone, accuracy
	b = w.order.AppendUint32(b, w.snaplen)
	return w.order.AppendUint32(b, w.link)
}

func (w pcapWriter) record(sec, frac, n, wire uint32, data string) []byte {
	var b []byte
	for _, v := range []uint32{sec, frac, n, wire} {
		b = w.order.AppendUint32(b, v)
	}
	if w.modified {
		b = append(b, "\x00\x00\x00\x02\x08\x00\x00\x00"...) // interface, protocol, packet type
	}
	return append(b, data...)
}

func (w pcapWriter) file(packets []sample) []byte {
	b := w.header()
	for _, p := range packets {
		b = append(b, w.record(uint32(p.Time/1e9), uint32(p.Time%1e9/w.unit), uint32(len(p.Data)), p.Length, p.Data)...)
	}
	return b
}

// An ngWriter writes pcapng blocks.
type ngWriter struct{ order order }

// block returns a block with body, padded, and the lengths that are right.
func (w ngWriter) block(typ uint32, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	n := uint32(len(b) + 12)
	return w.order.AppendUint32(append(w.words(typ, n), b...), n)
}

func (w ngWriter) words(v ...uint32) (b []byte) {
	for _, v := range v {
		b = w.order.AppendUint32(b, v)
	}
	return b
}

func (w ngWriter) halves(v ...uint16) (b []byte) {
	for _, v := range v {
		b = w.order.AppendUint16(b, v)
	}
	return b
}

func (w ngWriter) option(code uint16, v ...byte) []byte {
	b := append(w.halves(code, uint16(len(v))), v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (w ngWriter) end() []byte { return w.option(optEnd) }

func (w ngWriter) section(major, minor uint16) []byte {
	return w.block(blockSection, w.words(byteOrderMagic), w.halves(major, minor), w.words(^uint32(0), ^uint32(0)))
}

func (w ngWriter) iface(link uint16, snaplen uint32, options ...[]byte) []byte {
	return w.block(blockInterface, w.halves(link, 0), w.words(snaplen), bytes.Join(options, nil))
}

func (w ngWriter) packet(id uint32, stamp uint64, wire uint32, data string) []byte {
	return w.block(blockPacket,
		w.words(id, uint32(stamp>>32), uint32(stamp), uint32(len(data)), wire), []byte(data))
}

func (w ngWriter) obsoletePacket(id, drops uint16, stamp uint64, wire uint32, data string) []byte {
	return w.block(blockPacketObsolete,
		w.halves(id, drops), w.words(uint32(stamp>>32), uint32(stamp), uint32(len(data)), wire), []byte(data))
}

func (w ngWriter) simplePacket(wire uint32, data string) []byte {
	return w.block(blockSimplePacket, w.words(wire), []byte(data))
}

// file writes packets with one interface, whose stamps count units of 1/perSecond.
func (w ngWriter) file(packets []sample, tsresol byte, perSecond uint64) []byte {
	b := append(w.section(1, 0), w.iface(1, 0, w.option(optIfTsresol, tsresol), w.end())...)
	for _, p := range packets {
		stamp := uint64(p.Time/1e9)*perSecond + ceilDiv(uint64(p.Time%1e9)*perSecond, 1e9)
		b = append(b, w.packet(0, stamp, p.Length, p.Data)...)
	}
	return b
}

func ceilDiv(a, b uint64) uint64 { return (a + b - 1) / b }
