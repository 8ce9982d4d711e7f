// Package live captures packets from network interfaces. A user learns from it
// what passes now, as from a file that has no end.
//
// Linux needs nothing but this package, and the right CAP_NET_RAW. Other systems
// capture by libpcap, if built with the tag pcap; see [ErrUnsupported].
package live

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tcplife/decode/capture"
)

// Any stands for all interfaces, also those that appear later.
const Any = "any"

const (
	// DefaultSnaplen has room for every header up to TCP's: Ethernet with two tags,
	// IPv6, and TCP with all its options take 122 octets, twice the like in a VXLAN
	// or Geneve tunnel 240. The checksums of longer segments can't be verified then.
	DefaultSnaplen = 320

	// DefaultBuffer is about a second of 200,000 packets cut to DefaultSnaplen.
	DefaultBuffer = 64 << 20

	// Lag bounds how long after its capture a packet is returned to who waits for it.
	Lag = 100 * time.Millisecond
)

// ErrUnsupported says that this build can't capture.
var ErrUnsupported = errors.New(unsupported)

// Options say what is captured. The zero value is every packet of every interface.
type Options struct {
	// Interfaces are names. None, and Any, stand for all.
	Interfaces []string
	// Filter is an expression in tcpdump's language, see package filter. On Linux
	// the kernel evaluates it.
	Filter string
	// Snaplen is how many octets of a packet are kept; 0 stands for DefaultSnaplen.
	Snaplen int
	// Promiscuous asks the interfaces for packets that are not addressed to this
	// host. It can't be had of all interfaces at once.
	Promiscuous bool
	// Buffer is the room for packets that were captured and not read yet, in octets;
	// 0 stands for DefaultBuffer.
	Buffer int
	// Warn, if not nil, is told of what a capture goes on in spite of, such as an
	// interface that went down. Open and Next call it.
	Warn func(string)
}

// Stats is what the system counted.
type Stats struct {
	Received uint64 // packets that the filter wanted
	Dropped  uint64 // of which so many were lost, for want of room in the buffer
}

// A Source yields the packets of interfaces, in the order of their capture.
//
// A packet that a host sends to itself through the loopback interface, which has
// it twice, is yielded once. A VLAN tag that the network card took off is back in
// its place.
type Source struct {
	h        *handle
	frame    uint64
	deadline time.Time
}

// Open begins to capture. Without the right to, the error is an
// [io/fs.ErrPermission] that says how to grant it.
func Open(o Options) (*Source, error) {
	if len(o.Interfaces) == 0 || slices.Contains(o.Interfaces, Any) {
		if o.Promiscuous {
			return nil, errors.New("promiscuous mode takes interfaces by their names, and not any")
		}
		o.Interfaces = nil
	}
	switch {
	case o.Snaplen == 0:
		o.Snaplen = DefaultSnaplen
	case o.Snaplen < minSnaplen || o.Snaplen > maxSnaplen:
		return nil, fmt.Errorf("snap length %d: not between %d and %d", o.Snaplen, minSnaplen, maxSnaplen)
	}
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	h, err := open(&o)
	if err != nil {
		return nil, err
	}
	return &Source{h: h}, nil
}

const (
	minSnaplen = 64      // the headers of TCP in IPv4 in Ethernet, without options
	maxSnaplen = 1 << 18 // libpcap's
)

// SetDeadline sets until when Next waits for a packet; the zero time means for
// ever.
func (s *Source) SetDeadline(t time.Time) { s.deadline = t }

// Next reads the next packet, and waits for it. It returns
// [os.ErrDeadlineExceeded] if there was none by the deadline, and io.EOF when all
// packets were returned that were captured before Stop. Both can go on to be
// asked for packets; any other error ends the capture.
func (s *Source) Next(p *capture.Packet) error {
	if err := s.h.next(p, s.deadline); err != nil {
		*p = capture.Packet{}
		return err
	}
	s.frame++
	p.Frame = s.frame
	return nil
}

// Stop ends the capture, though not its reading: Next returns what was captured
// until now and then io.EOF. It may be called more than once, and by another
// goroutine than the one that calls Next.
func (s *Source) Stop() { s.h.stop() }

// Stats returns what was counted since Open. Another goroutine than the one that
// calls Next may call it.
func (s *Source) Stats() Stats { return s.h.stats() }

// Close gives back what the source holds, the last packet's data too. Next must
// not be called with or after it.
func (s *Source) Close() error { return s.h.close() }

// An Interface is something that packets can be captured from.
type Interface struct {
	Name         string
	Description  string // if the system has one beside the name
	Up, Loopback bool
	Addrs        []string // with their prefix lengths, where the system tells these
}

// Interfaces lists what Open can capture from, in the system's order.
func Interfaces() ([]Interface, error) { return interfaces() }

// expired reports whether a deadline has passed.
func expired(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}
