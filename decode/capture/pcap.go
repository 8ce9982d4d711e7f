package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The pcap format is draft-ietf-opsawg-pcap, and libpcap's sf-pcap.c for what
// older programs wrote.
const (
	pcapHeader         = 24
	pcapRecord         = 16
	pcapRecordModified = 24 // Kuznetzov's patch adds interface, protocol and packet type
)

type pcapFile struct {
	record  int    // octets of a record's header
	unit    uint32 // nanoseconds that a fraction counts
	link    uint32
	swapped lengths
}

// lengths says in which order a record has its two lengths: before version 2.3
// the length on the wire came first, and in version 2.3 it may.
type lengths uint8

const (
	inOrder lengths = iota
	swapped
	maybeSwapped
)

// magic takes the magic number of a pcap file from its first 4 octets, and
// reports whether it is one.
func (f *pcapFile) magic(b []byte) bool {
	f.record, f.unit = pcapRecord, 1000
	switch m := binary.LittleEndian.Uint32(b); m {
	case 0xa1b2c3d4, 0xd4c3b2a1:
	case 0xa1b23c4d, 0x4d3cb2a1:
		f.unit = 1
	case 0xa1b2cd34, 0x34cdb2a1:
		f.record = pcapRecordModified
	default:
		return false
	}
	return true
}

func (r *Reader) startPcap() error {
	if err := r.fill(pcapHeader); err != nil {
		return fmt.Errorf("file header: %w", err)
	}
	b := r.buf[:pcapHeader]
	r.big = b[0] == 0xa1
	major, minor := r.u16(b[4:]), r.u16(b[6:])
	switch {
	case major == 2 && minor < 3, major == 543:
		r.pcap.swapped = swapped
	case major == 2 && minor == 3:
		r.pcap.swapped = maybeSwapped
	case major != 2:
		r.warn(fmt.Sprintf("pcap version %d.%d read as 2.4", major, minor))
	}
	r.pcap.link = r.u32(b[20:]) & 0xffff // above: the length of the frame check sequence
	r.pos = pcapHeader
	r.format = "pcap"
	r.next = (*Reader).nextPcap
	return nil
}

func (r *Reader) nextPcap(p *Packet) error {
	h := r.pcap.record
	if err := r.fill(h); err != nil {
		return err
	}
	b := r.buf[r.pos:r.end]
	sec, frac, n, wire := r.u32(b), r.u32(b[4:]), r.u32(b[8:]), r.u32(b[12:])
	if s := r.pcap.swapped; s != inOrder && (s == swapped || n > wire) {
		n, wire = wire, n
	}
	if n == 0 && wire == 0 && new(pcapFile).magic(b) && r.u16(b[4:]) == 2 {
		return errors.New("another pcap file begins here: give them as several")
	}
	if n > maxRecord {
		return fmt.Errorf("captured length %d is above the limit of %d", n, maxRecord)
	}
	if err := r.fill(h + int(n)); err != nil {
		return err
	}
	start := r.pos + h
	r.pos = start + int(n)
	p.Data = r.buf[start:r.pos:r.pos]
	p.Time = Time(int64(sec)*1e9 + int64(frac)*int64(r.pcap.unit))
	p.LinkType = r.pcap.link
	p.Length = max(wire, n)
	return nil
}

func (r *Reader) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if r.big {
		v = bits.ReverseBytes16(v)
	}
	return v
}

func (r *Reader) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if r.big {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (r *Reader) u64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if r.big {
		v = bits.ReverseBytes64(v)
	}
	return v
}
