//go:build !(pcap && cgo)

package live

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tcplife/decode/capture"
	"tcplife/decode/filter"
)

const unsupported = "" // this build can

// A handle is one socket with one ring, for however many interfaces: so their
// packets need no merging.
type handle struct {
	o    Options
	fd   int
	wake int // eventfd, readable once stop was called
	ring *ring

	// indices are the kernel's numbers of o.Interfaces, 0 where there is none at
	// present. They are looked up again every lookEvery.
	indices []int
	looked  time.Time

	programs map[uint32]*filter.Filter // by link type; none for those that can't be filtered
	judges   bool                      // the kernel has them

	stopped atomic.Bool
	drained time.Time // when there can be no more packets; valid iff stopped

	mu    sync.Mutex // of count, and of fd and wake against close
	count Stats
}

const (
	lookEvery = time.Second

	// drainFor is how long packets may still come out of the kernel when no more
	// are captured: see retireAfter, and a timer that is late.
	drainFor = 3 * retireAfter
)

func open(o *Options) (_ *handle, err error) {
	h := &handle{o: *o, fd: -1, wake: -1, programs: make(map[uint32]*filter.Filter)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if err := h.compile(); err != nil {
		return nil, err
	}
	// Without a protocol, the socket gets no packets before bind.
	h.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("no right to capture: run as root, or grant it once by: sudo setcap cap_net_raw=ep %s (%w)", executable(), err)
	case err != nil:
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if h.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	if h.ring, err = newRing(h.fd, o.Buffer); err != nil {
		return nil, err
	}
	h.indices = make([]int, len(o.Interfaces))
	for i, name := range o.Interfaces {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("no interface %s: tcplife interfaces lists them", name)
		}
		if ifi.Flags&net.FlagUp == 0 {
			o.Warn(name + " is down: its packets are captured when it comes up")
		}
		h.indices[i] = ifi.Index
	}
	h.looked = time.Now()
	err = h.bind()
	return h, err
}

// compile checks the filter, and keeps its programs.
func (h *handle) compile() error {
	for _, t := range linkTypes {
		f, err := filter.Compile(h.o.Filter, t, uint32(h.o.Snaplen))
		switch {
		case err == nil:
			h.programs[t] = f
		case t == linkEthernet: // which has all that there is to ask for
			return err
		}
	}
	return nil
}

// bind has the socket capture from the interfaces, by their present indices.
func (h *handle) bind() error {
	h.mu.Lock() // against stop, whose filter must stay
	defer h.mu.Unlock()
	if h.stopped.Load() {
		return nil
	}
	h.judges = h.o.Filter != ""
	err := attach(h.fd, kernelFilter(h.o.Snaplen, h.indices, h.programs, h.judges))
	if err != nil && h.judges { // longer than what the kernel takes
		h.judges = false
		err = attach(h.fd, kernelFilter(h.o.Snaplen, h.indices, h.programs, false))
	}
	if err != nil {
		return fmt.Errorf("the kernel refused the filter: %w", err)
	}
	to := &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL)}
	if len(h.indices) == 1 {
		to.Ifindex = h.indices[0]
	}
	if err := unix.Bind(h.fd, to); err != nil {
		return fmt.Errorf("%s: %w", h.names(), err)
	}
	if !h.o.Promiscuous {
		return nil
	}
	for i, index := range h.indices {
		err := unix.SetsockoptPacketMreq(h.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC})
		if err != nil && index != 0 {
			return fmt.Errorf("%s: promiscuous mode: %w", h.o.Interfaces[i], err)
		}
	}
	return nil
}

func (h *handle) names() string {
	if len(h.o.Interfaces) == 0 {
		return Any
	}
	return strings.Join(h.o.Interfaces, ",")
}

func bigEndian(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

func (h *handle) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped.Load() || h.fd < 0 {
		return
	}
	// If the kernel has no room for even that, packets end when there is none for a
	// moment.
	_ = attach(h.fd, nothing)
	h.drained = time.Now().Add(drainFor)
	h.stopped.Store(true)
	if _, err := unix.Write(h.wake, binary.NativeEndian.AppendUint64(nil, 1)); err != nil {
		panic("live: eventfd: " + err.Error()) // it counts to 2^64
	}
}

func (h *handle) next(p *capture.Packet, deadline time.Time) error {
	for {
		rec, ok := h.ring.next()
		if !ok {
			if err := h.wait(deadline); err != nil {
				return err
			}
			continue
		}
		if h.packet(p, rec) {
			return nil
		}
	}
}

// packet makes a Packet of a record. It reports false if the filter doesn't want
// it, where the kernel could not tell.
func (h *handle) packet(p *capture.Packet, rec record) bool {
	p.Time = capture.Time(int64(rec.Sec)*1e9 + int64(rec.Nsec))
	p.Length = rec.Len
	linkType, plain := linkTypeOfARPHRD(rec.link.Hatype)
	p.LinkType = linkType
	from, n := int(rec.Mac), int(rec.Snaplen)
	tagged := rec.Status&unix.TP_STATUS_VLAN_VALID != 0
	if !plain { // a link layer of which nothing is known but where it ends
		header := int(rec.Net) - int(rec.Mac)
		from, n = from+header, max(n-header, 0)
		p.Length -= uint32(min(header, int(p.Length)))
		tagged = false
	}
	if tagged && linkType == linkEthernet && n >= addrsLen {
		from, n = insertTag(rec, from), n+tagLen
		p.Length += tagLen
	}
	p.Data = rec.mem[from:][:n:n]
	if h.o.Filter == "" || h.judges && judged(rec.link.Hatype) && !tagged {
		return true
	}
	f := h.programs[linkType]
	return f != nil && f.Match(p.Data, p.Length)
}

const (
	addrsLen = 12 // of Ethernet
	tagLen   = 4
)

// insertTag puts the VLAN tag back that was taken off, and returns where the
// packet begins now.
func insertTag(rec record, from int) int {
	proto := uint16(unix.ETH_P_8021Q)
	if rec.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		proto = rec.Hv1.Vlan_tpid
	}
	b := rec.mem[from-tagLen:]
	copy(b, b[tagLen:][:addrsLen])
	binary.BigEndian.PutUint16(b[addrsLen:], proto)
	binary.BigEndian.PutUint16(b[addrsLen+2:], uint16(rec.Hv1.Vlan_tci))
	return from - tagLen
}

// wait waits for a block of packets, or returns why there is none.
func (h *handle) wait(deadline time.Time) error {
	until := time.Now().Add(lookEvery)
	stopped := h.stopped.Load()
	if stopped {
		if expired(h.drained) {
			return io.EOF
		}
		until = h.drained
	} else {
		if expired(deadline) {
			return os.ErrDeadlineExceeded
		}
		if err := h.look(); err != nil {
			return err
		}
	}
	if !deadline.IsZero() && deadline.Before(until) {
		until = deadline
	}
	fds := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}, {Fd: int32(h.wake), Events: unix.POLLIN}}
	if stopped {
		fds = fds[:1]
	}
	timeout := int(time.Until(until)/time.Millisecond) + 1
	if _, err := unix.Poll(fds, max(timeout, 0)); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("poll: %w", err)
	}
	if fds[0].Revents&unix.POLLERR != 0 {
		return h.socketError()
	}
	return nil
}

// socketError takes the error of the socket. An interface that went down is none:
// the kernel goes on when it comes up.
func (h *handle) socketError() error {
	errno, err := unix.GetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	switch e := unix.Errno(errno); e {
	case 0, unix.ENOBUFS:
		return nil
	case unix.ENETDOWN:
		h.o.Warn(h.names() + " went down: its packets are captured when it comes up")
		return nil
	default:
		return fmt.Errorf("%s: %w", h.names(), e)
	}
}

// look finds interfaces again that went away and came back under their names.
func (h *handle) look() error {
	if len(h.indices) == 0 || time.Since(h.looked) < lookEvery {
		return nil
	}
	h.looked = time.Now()
	changed := false
	for i, name := range h.o.Interfaces {
		index := 0
		if ifi, err := net.InterfaceByName(name); err == nil {
			index = ifi.Index
		}
		switch index {
		case h.indices[i]:
			continue
		case 0:
			h.o.Warn(name + " is gone: its packets are captured when it comes back")
		default:
			h.o.Warn(name + " is back")
		}
		h.indices[i] = index
		changed = true
	}
	if !changed || len(h.indices) == 1 && h.indices[0] == 0 { // which would mean all
		return nil
	}
	return h.bind()
}

func (h *handle) stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	// The kernel forgets what it has told.
	if s, err := unix.GetsockoptTpacketStatsV3(h.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		h.count.Received += uint64(s.Packets)
		h.count.Dropped += uint64(s.Drops)
	}
	return h.count
}

func (h *handle) close() (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ring != nil {
		err = h.ring.close()
		h.ring = nil
	}
	for _, fd := range []*int{&h.fd, &h.wake} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
			*fd = -1
		}
	}
	return err
}

// executable names the program that needs a right.
func executable() string {
	name, err := os.Executable()
	if err != nil {
		return "tcplife"
	}
	return name
}
