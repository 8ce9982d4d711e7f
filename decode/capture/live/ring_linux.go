//go:build !(pcap && cgo)

package live

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ring is memory that the kernel writes packets to, block by block: TPACKET_V3
// of packet(7). A block is the kernel's until it is full or retireAfter has passed,
// then the reader's until it is given back.
type ring struct {
	mem   []byte
	at    int    // the block to read next
	left  uint32 // packets in it that were not read
	off   uint32 // of the first of them, in the block
	taken bool   // the block is the reader's
}

const (
	// blockSize holds a packet of any length, and many of the common one, so that a
	// reader is woken rarely.
	blockSize = 1 << 20

	// retireAfter is how old the first packet of a block may become. The kernel
	// looks that often, so a packet waits for up to twice that.
	retireAfter = 20 * time.Millisecond

	// reserve is octets before a packet that the kernel leaves free: for a VLAN tag.
	reserve = tagLen
)

// newRing has the kernel write the packets of a socket to about size octets of
// memory, or as much less as there is.
func newRing(fd, size int) (*ring, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return nil, fmt.Errorf("this kernel has no TPACKET_V3: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_RESERVE, reserve); err != nil {
		return nil, err
	}
	const minBlocks = 2
	for blocks := max(size/blockSize, minBlocks); ; blocks /= 2 {
		err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{
			Block_size: blockSize, Block_nr: uint32(blocks),
			// Packets of any length follow each other in a block of TPACKET_V3. The
			// frame size matters for nothing but these sums, which must come out.
			Frame_size: blockSize, Frame_nr: uint32(blocks),
			Retire_blk_tov: uint32(retireAfter / time.Millisecond),
		})
		if errors.Is(err, unix.ENOMEM) && blocks/2 >= minBlocks {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("a buffer of %d MiB: %w", blocks*blockSize>>20, err)
		}
		mem, err := unix.Mmap(fd, 0, blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("a buffer of %d MiB: %w", blocks*blockSize>>20, err)
		}
		return &ring{mem: mem}, nil
	}
}

func (r *ring) close() error { return unix.Munmap(r.mem) }

// The layout of a block, and of what precedes a packet in it.
const (
	statusOffset = unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr) + unsafe.Offsetof(unix.TpacketHdrV1{}.Block_status)
	headerSize   = unsafe.Sizeof(unix.TpacketHdrV1{})
	linkOffset   = (unsafe.Sizeof(unix.Tpacket3Hdr{}) + unix.TPACKET_ALIGNMENT - 1) &^ (unix.TPACKET_ALIGNMENT - 1)
)

func (r *ring) block() []byte { return r.mem[r.at*blockSize:][:blockSize] }

func (r *ring) status() *uint32 { return (*uint32)(unsafe.Pointer(&r.block()[statusOffset])) }

// A record is a packet in the ring, valid until the next call of next.
type record struct {
	*unix.Tpacket3Hdr
	link *unix.RawSockaddrLinklayer
	mem  []byte // from the header on
}

// next returns the next packet that the kernel has handed over, if there is one.
func (r *ring) next() (rec record, ok bool) {
	for r.left == 0 {
		if r.taken {
			atomic.StoreUint32(r.status(), unix.TP_STATUS_KERNEL)
			r.at = (r.at + 1) % (len(r.mem) / blockSize)
			r.taken = false
		}
		if atomic.LoadUint32(r.status())&unix.TP_STATUS_USER == 0 {
			return record{}, false
		}
		h := (*unix.TpacketHdrV1)(unsafe.Pointer(&r.block()[statusOffset]))
		r.taken, r.left, r.off = true, h.Num_pkts, h.Offset_to_first_pkt
	}
	mem := r.block()[r.off:]
	rec = record{
		(*unix.Tpacket3Hdr)(unsafe.Pointer(&mem[0])),
		(*unix.RawSockaddrLinklayer)(unsafe.Pointer(&mem[linkOffset])),
		mem,
	}
	r.left--
	r.off += rec.Next_offset
	return rec, true
}
