package capture

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strings"
)

// The pcapng format is draft-ietf-opsawg-pcapng.

// Block types.
const (
	blockInterface      = 1
	blockPacketObsolete = 2
	blockSimplePacket   = 3
	blockStatistics     = 5
	blockPacket         = 6
	blockJournal        = 9
	blockCustom         = 0x00000bad
	blockCustomNoCopy   = 0x40000bad
	blockSection        = 0x0a0d0d0a
)

// Option codes.
const (
	optEnd         = 0
	optComment     = 1
	optShbUserappl = 4
	optIfName      = 2
	optIfTsresol   = 9
	optIfTsoffset  = 14
	optIsbEndtime  = 3
	optIsbIfrecv   = 4
	optIsbIfdrop   = 5
	optIsbOsdrop   = 7
)

const (
	byteOrderMagic = 0x1a2b3c4d

	// maxInterfaces bounds what a section describes. The obsolete packet block
	// can tell no more of them apart.
	maxInterfaces = 1 << 16
)

type pcapngFile struct {
	ifaces     []iface // of the present section
	interfaces int     // of all sections
	received   uint64  // by the statistics of the sections before
	dropped    uint64
	ours       bool // the present section is of a capture that tcplife made
	ended      Time // the last end of such a capture
}

// application is how the programs begin that tcplife writes into its captures.
const application = "tcplife"

type iface struct {
	link     uint32
	snaplen  uint32 // 0: unlimited
	clock    clock
	received uint64
	dropped  uint64
}

// statistics sums over all interfaces of all sections.
func (f *pcapngFile) statistics() (received, dropped uint64) {
	received, dropped = f.received, f.dropped
	for i := range f.ifaces {
		received += f.ifaces[i].received
		dropped += f.ifaces[i].dropped
	}
	return received, dropped
}

// A clock turns an interface's time stamps into Times.
type clock struct {
	binary bool
	shift  uint8  // binary: the unit is 2^-shift s
	mul    uint64 // decimal: the unit is mul ns, or
	div    uint64 // if div is not 0, 1/div ns; and if neither is set, less than any stamp can make up for
	offset int64  // seconds to add
}

// newClock returns the clock of an if_tsresol: units of 10^-n seconds, or 2^-n
// with the top bit set.
func newClock(tsresol uint8) clock {
	n := tsresol & 0x7f
	switch {
	case tsresol&0x80 != 0:
		return clock{binary: true, shift: n}
	case n <= 9:
		return clock{mul: pow10(9 - n)}
	case n <= 9+19:
		return clock{div: pow10(n - 9)}
	}
	return clock{}
}

func pow10(n uint8) uint64 {
	p := uint64(1)
	for ; n > 0; n-- {
		p *= 10
	}
	return p
}

// time returns the Time of a stamp, rounded down to the nanosecond. It reports
// false, with the nearest Time, if it lies outside what a Time can tell.
func (c *clock) time(stamp uint64) (Time, bool) {
	var hi, lo uint64
	switch {
	case c.binary:
		hi, lo = bits.Mul64(stamp, 1e9)
		if c.shift < 64 {
			hi, lo = hi>>c.shift, hi<<(64-c.shift)|lo>>c.shift
		} else {
			hi, lo = 0, hi>>(c.shift-64)
		}
	case c.mul != 0:
		hi, lo = bits.Mul64(stamp, c.mul)
	case c.div != 0:
		lo = stamp / c.div
	}
	if c.offset == 0 {
		if hi != 0 || lo > math.MaxInt64 {
			return math.MaxInt64, false
		}
		return Time(lo), true
	}
	ohi, olo := bits.Mul64(magnitude(c.offset), 1e9)
	if c.offset > 0 {
		var carry uint64
		lo, carry = bits.Add64(lo, olo, 0)
		hi, _ = bits.Add64(hi, ohi, carry) // at most 2^95 each
		if hi != 0 || lo > math.MaxInt64 {
			return math.MaxInt64, false
		}
		return Time(lo), true
	}
	lo, borrow := bits.Sub64(lo, olo, 0)
	hi, borrow = bits.Sub64(hi, ohi, borrow)
	switch {
	case borrow == 0 && (hi != 0 || lo > math.MaxInt64):
		return math.MaxInt64, false
	case borrow != 0 && (hi != math.MaxUint64 || lo <= math.MaxInt64):
		return math.MinInt64, false
	}
	return Time(lo), true
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// isPcapng reports whether b begins as a section header block does, which is the
// same in both byte orders.
func isPcapng(b []byte) bool {
	return len(b) >= 4 && b[0] == 0x0a && b[1] == 0x0d && b[2] == 0x0d && b[3] == 0x0a
}

func (r *Reader) startPcapng() error {
	if err := r.fill(12); err != nil {
		return fmt.Errorf("file header: %w", err)
	}
	if !r.byteOrder(r.buf[8:12]) {
		return ErrFormat
	}
	r.format = "pcapng"
	r.next = (*Reader).nextPcapng
	if err := r.section(); err != nil {
		return fmt.Errorf("file header: %w", err)
	}
	return nil
}

// byteOrder takes the byte order from a section's magic number.
func (r *Reader) byteOrder(b []byte) bool {
	r.big = false
	if r.u32(b) == byteOrderMagic {
		return true
	}
	r.big = true
	return r.u32(b) == byteOrderMagic
}

// nextPcapng walks blocks up to the next packet.
func (r *Reader) nextPcapng(p *Packet) error {
	for {
		if err := r.fill(8); err != nil {
			return err
		}
		var err error
		switch typ := r.u32(r.buf[r.pos:]); typ {
		case blockPacket, blockPacketObsolete:
			return r.packet(p)
		case blockSimplePacket:
			return r.simplePacket(p)
		case blockSection:
			err = r.section()
		case blockInterface:
			err = r.interfaceBlock()
		case blockStatistics:
			err = r.statisticsBlock()
		case blockJournal, blockCustom, blockCustomNoCopy:
			// No packets, but Wireshark gives them frame numbers.
			if err = r.unknown(); err == nil {
				r.frame++
			}
		default:
			err = r.unknown()
		}
		if err != nil {
			return err
		}
	}
}

// block returns the next block without its trailing length, if it has at least
// least octets, that included. The block is passed over, but stays valid until
// the next fill.
func (r *Reader) block(least int) ([]byte, error) {
	total, n, err := r.blockLength(least)
	if err != nil {
		return nil, err
	}
	if n > maxRecord {
		return nil, fmt.Errorf("block length %d is above the limit of %d", total, maxRecord)
	}
	if err := r.fill(int(n)); err != nil {
		return nil, err
	}
	b := r.buf[r.pos : r.pos+int(n)]
	if end := r.u32(b[n-4:]); end != total {
		return nil, fmt.Errorf("block length is %d at its start, %d at its end", total, end)
	}
	r.pos += int(n)
	return b[:n-4], nil
}

// blockLength returns a block's length as written, and as it is: some programs
// leave the padding out of what they write.
func (r *Reader) blockLength(least int) (total uint32, n int64, err error) {
	total = r.u32(r.buf[r.pos+4:])
	if int64(total) < int64(least) {
		return 0, 0, fmt.Errorf("block length %d is less than the %d its type needs", total, least)
	}
	if total%4 != 0 {
		r.warn("block lengths are not multiples of 4")
	}
	return total, (int64(total) + 3) &^ 3, nil
}

// unknown passes over a block of any length without holding it.
func (r *Reader) unknown() error {
	total, n, err := r.blockLength(12)
	if err != nil {
		return err
	}
	if err := r.skip(n - 4); err != nil {
		return err
	}
	if err := r.fill(4); err == io.EOF {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	if end := r.u32(r.buf[r.pos:]); end != total {
		return fmt.Errorf("block length is %d at its start, %d at its end", total, end)
	}
	r.pos += 4
	return nil
}

// section takes a section header block. What the section before described is
// forgotten.
func (r *Reader) section() error {
	if err := r.fill(12); err != nil {
		return err
	}
	if !r.byteOrder(r.buf[r.pos+8:]) {
		return errors.New("section without a byte order")
	}
	b, err := r.block(28)
	if err != nil {
		return err
	}
	if major := r.u16(b[12:]); major != 1 {
		return fmt.Errorf("pcapng version %d.%d is not supported", major, r.u16(b[14:]))
	}
	r.ng.received, r.ng.dropped = r.ng.statistics()
	r.ng.ifaces = r.ng.ifaces[:0]
	r.ng.ours = false
	err = r.options(b[24:], func(code uint16, v []byte) {
		if code == optShbUserappl {
			r.ng.ours = strings.HasPrefix(string(v), application)
		}
	})
	if err != nil {
		r.warn("section with a damaged option")
	}
	return nil
}

func (r *Reader) interfaceBlock() error {
	b, err := r.block(20)
	if err != nil {
		return err
	}
	if len(r.ng.ifaces) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces in one section", maxInterfaces)
	}
	i := iface{link: uint32(r.u16(b[8:])), snaplen: r.u32(b[12:])}
	tsresol, tsoffset := uint8(6), int64(0)
	err = r.options(b[16:], func(code uint16, v []byte) {
		switch {
		case code == optIfTsresol && len(v) >= 1:
			tsresol = v[0]
		case code == optIfTsoffset && len(v) >= 8:
			tsoffset = int64(r.u64(v))
		}
	})
	if err != nil {
		return err
	}
	i.clock = newClock(tsresol)
	i.clock.offset = tsoffset
	r.ng.ifaces = append(r.ng.ifaces, i)
	r.ng.interfaces++
	return nil
}

func (r *Reader) statisticsBlock() error {
	b, err := r.block(24)
	if err != nil {
		return err
	}
	id := r.u32(b[8:])
	if int64(id) >= int64(len(r.ng.ifaces)) {
		r.warn("statistics of an interface that is not described")
		return nil
	}
	i := &r.ng.ifaces[id]
	var ifdrop, osdrop uint64
	err = r.options(b[20:], func(code uint16, v []byte) {
		if len(v) < 8 {
			return
		}
		switch n := r.u64(v); code {
		case optIsbEndtime:
			if ended, ok := i.clock.time(uint64(r.u32(v))<<32 | uint64(r.u32(v[4:]))); ok && r.ng.ours {
				r.ng.ended = max(r.ng.ended, ended)
			}
		case optIsbIfrecv:
			i.received = n
		case optIsbIfdrop:
			ifdrop = n
		case optIsbOsdrop:
			osdrop = n
		}
	})
	i.dropped = ifdrop + osdrop
	if err != nil {
		r.warn("statistics with a damaged option")
	}
	return nil
}

// options calls f for each option of a block.
func (r *Reader) options(b []byte, f func(code uint16, value []byte)) error {
	for len(b) >= 4 {
		code, n := r.u16(b), int(r.u16(b[2:]))
		if code == optEnd {
			return nil
		}
		if n > len(b)-4 {
			return fmt.Errorf("option %d of %d octets is longer than its block", code, n)
		}
		f(code, b[4:4+n])
		b = b[min(4+(n+3)&^3, len(b)):]
	}
	return nil
}

// packet takes an enhanced packet block, or an obsolete packet block, which
// differs in having a count of drops in the upper half of the interface's number.
func (r *Reader) packet(p *Packet) error {
	const header = 28
	b, err := r.block(header + 4)
	if err != nil {
		return err
	}
	id := r.u32(b[8:])
	if r.u32(b) == blockPacketObsolete {
		id = uint32(r.u16(b[8:]))
	}
	if int64(id) >= int64(len(r.ng.ifaces)) {
		return fmt.Errorf("packet of interface %d, which is not described", id)
	}
	i := &r.ng.ifaces[id]
	n, wire := r.u32(b[20:]), r.u32(b[24:])
	if int64(n) > int64(len(b)-header) {
		return fmt.Errorf("captured length %d is more than its block of %d holds", n, len(b)+4)
	}
	end := header + int(n)
	p.Data = b[header:end:end]
	var ok bool
	p.Time, ok = i.clock.time(uint64(r.u32(b[12:]))<<32 | uint64(r.u32(b[16:])))
	if !ok {
		r.warn("times before 1677 or after 2262")
	}
	p.LinkType = i.link
	p.Length = max(wire, n)
	return nil
}

// simplePacket takes a simple packet block. It has no time: the packet is given
// that of the one before.
func (r *Reader) simplePacket(p *Packet) error {
	const header = 12
	b, err := r.block(header + 4)
	if err != nil {
		return err
	}
	if len(r.ng.ifaces) == 0 {
		return errors.New("packet of interface 0, which is not described")
	}
	i := &r.ng.ifaces[0]
	wire := r.u32(b[8:])
	n := wire
	if i.snaplen != 0 {
		n = min(n, i.snaplen)
	}
	if int64(n) > int64(len(b)-header) {
		return fmt.Errorf("captured length %d is more than its block of %d holds", n, len(b)+4)
	}
	end := header + int(n)
	p.Data = b[header:end:end]
	p.Time = r.last
	p.LinkType = i.link
	p.Length = wire
	r.warn("simple packet blocks have no time; the time of the packet before is used")
	return nil
}
