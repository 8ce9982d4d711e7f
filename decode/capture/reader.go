package capture

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"slices"
	"sync/atomic"
)

// ErrFormat says that the input is no capture file at all. The error that wraps
// it says what it is instead, where that can be told.
var ErrFormat = errors.New("not a pcap or pcapng file")

const (
	// bufferSize is what one read(2) asks for: the size from which a larger one
	// gains nothing.
	bufferSize = 1 << 20

	// maxRecord bounds one packet with all that its record says of it. Linux's
	// longest TCP segment has 512 KiB (GSO_MAX_SIZE), and libpcap writes no more
	// than 256 KiB of a packet of any link type that carries IP. A length beyond
	// 16 MiB is a damaged file's, and taking it at its word would swallow the
	// packets behind it.
	maxRecord = 16 << 20

	// maxWarnings bounds Info.Warnings.
	maxWarnings = 16
)

// A Reader reads the packets of one capture file, in the file's order.
type Reader struct {
	window      int // Options.window
	src         io.Reader
	closer      io.Closer // nil: what src reads from is not ours to close
	size        int64
	regular     bool // it is a file that can be opened again
	raw         counter
	compression string
	aheads      []*ahead
	wait        func() // nil: nobody wants to know

	buf      []byte
	pos, end int   // buf[pos:end] is read and not used yet
	srcErr   error // what ended src
	err      error // what ended the packets

	next   func(*Reader, *Packet) error
	format string
	big    bool // the file, or its present section, is big-endian
	pcap   pcapFile
	ng     pcapngFile

	packets  uint64 // returned
	frame    uint64 // number of the last frame
	last     Time   // of the packet before
	lastLink uint32
	links    [1 << 16 / 64]uint64 // bit set of link types
	warnings []string
}

// Options set how a file is opened. The zero value is right for one that is
// complete.
type Options struct {
	// Follow waits at the end of a regular file for what is still written to it.
	Follow bool
	// Stop, if not nil, ends waiting when it is closed: for what is written to a
	// file that is followed, and for what comes through a pipe.
	Stop <-chan struct{}
	// Wait, if not nil, is called before Next asks for more of the file, which may
	// take any time.
	Wait func()
	// BufferSize is what is read at once; 0 means 1 MiB.
	BufferSize int

	total  *atomic.Int64 // counts the octets read too
	window int           // history that decompressing may take; 0 means maxWindow
}

// Open opens a capture file. "-" means standard input.
//
// Errors lack the file's name: that is the caller's to add.
func Open(path string) (*Reader, error) { return Options{}.Open(path) }

// Open is Open with options.
func (o Options) Open(path string) (*Reader, error) {
	f, closer := os.Stdin, io.Closer(nil)
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, unnamed(err)
		}
		closer = f
	}
	r, err := newFileReader(f, closer, o)
	if err != nil && closer != nil {
		f.Close()
	}
	return r, err
}

func newFileReader(f *os.File, closer io.Closer, o Options) (*Reader, error) {
	size, regular := int64(0), false
	if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() {
		size, regular = fi.Size(), true
	}
	var src io.Reader = f
	var a *ahead
	switch {
	case regular && o.Follow:
		src, size = &follower{f: f, stop: o.Stop}, 0
	case !regular && o.Stop != nil:
		a = newAhead(f, o.Stop)
		src = a
	}
	r, err := newReader(src, o)
	if err != nil {
		if a != nil {
			a.close()
		}
		return nil, err
	}
	if a != nil {
		r.aheads = append(r.aheads, a)
	}
	r.closer, r.size, r.regular = closer, size, regular && closer != nil
	return r, nil
}

// unnamed takes the operation and the file's name off an error.
func unnamed(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// NewReader returns a Reader of the capture file that src yields. It reads ahead,
// but Next waits for no more than the packet that it returns, so src may be a pipe
// that a capturing program writes to.
func NewReader(src io.Reader) (*Reader, error) { return newReader(src, Options{}) }

func newReader(src io.Reader, o Options) (*Reader, error) {
	if o.BufferSize == 0 {
		o.BufferSize = bufferSize
	}
	r := &Reader{buf: make([]byte, o.BufferSize), lastLink: ^uint32(0), wait: o.Wait, window: cmp.Or(o.window, maxWindow)}
	r.raw.src, r.raw.total = src, o.total
	r.src = &r.raw
	err := r.decompress()
	if err == nil {
		err = r.start()
	}
	if err != nil {
		r.stopAhead()
		return nil, err
	}
	return r, nil
}

func (r *Reader) stopAhead() {
	for _, a := range r.aheads {
		a.close()
	}
}

// A counter counts what is read from src. Others may look meanwhile.
type counter struct {
	src   io.Reader
	n     atomic.Int64
	total *atomic.Int64 // nil, or shared with others
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.src.Read(b)
	c.n.Add(int64(n))
	if c.total != nil {
		c.total.Add(int64(n))
	}
	return n, err
}

// start finds out which format the input has, and reads what precedes the first
// packet's record.
func (r *Reader) start() error {
	switch err := r.fill(4); {
	case err == io.EOF:
		return fmt.Errorf("%w: it is empty", ErrFormat)
	case err != nil && err != io.ErrUnexpectedEOF:
		return err
	}
	b := r.buf[:r.end]
	if isPcapng(b) {
		return r.startPcapng()
	}
	if len(b) < 4 {
		if startsMagic(b) {
			return fmt.Errorf("file header: %w", io.ErrUnexpectedEOF)
		}
		return ErrFormat
	}
	if r.pcap.magic(b) {
		return r.startPcap()
	}
	if r.fill(8) == nil { // the longest signature
		b = r.buf[:r.end]
	}
	if c := codecOf(b); c != nil { // decompress has undone one
		return fmt.Errorf("%w: it is compressed by %s within %s, and only one is undone", ErrFormat, c.name, r.compression)
	}
	if what := foreign(b); what != "" {
		return fmt.Errorf("%w: %s", ErrFormat, what)
	}
	return ErrFormat
}

// startsMagic reports whether a file of fewer than 4 octets may have been cut off
// from a capture file.
func startsMagic(b []byte) bool {
	for _, m := range []string{
		"\x0a\x0d\x0d\x0a",
		"\xa1\xb2\xc3\xd4", "\xa1\xb2\x3c\x4d", "\xa1\xb2\xcd\x34",
		"\xd4\xc3\xb2\xa1", "\x4d\x3c\xb2\xa1", "\x34\xcd\xb2\xa1",
	} {
		if m[:len(b)] == string(b) {
			return true
		}
	}
	return false
}

// foreign names the format of b, the beginning of a file, if it is one that
// users take for a capture.
func foreign(b []byte) string {
	for _, f := range [...]struct{ magic, what string }{
		{"PK\x03\x04", "it is a zip archive"},
		{"snoop\x00", "it is a snoop file"},
		{"GMBU", "it is a Network Monitor file"},
	} {
		if len(b) >= len(f.magic) && string(b[:len(f.magic)]) == f.magic {
			return f.what
		}
	}
	return ""
}

// Next reads the next packet. At the end of the file it returns io.EOF. An error
// names the frame that could not be read, and wraps io.ErrUnexpectedEOF if the
// file ends within it; there is no packet after an error.
func (r *Reader) Next(p *Packet) error {
	if r.err != nil {
		return r.err
	}
	if err := r.next(r, p); err != nil {
		if err != io.EOF {
			err = fmt.Errorf("frame %d: %w", r.frame+1, err)
		}
		r.err = err
		*p = Packet{}
		return err
	}
	r.packets++
	r.frame++
	p.Frame = r.frame
	if p.LinkType != r.lastLink {
		r.lastLink = p.LinkType
		r.links[p.LinkType/64] |= 1 << (p.LinkType % 64)
	}
	r.last = p.Time
	return nil
}

// Close closes what Open opened.
func (r *Reader) Close() error {
	r.stopAhead()
	if r.closer == nil {
		return nil
	}
	return unnamed(r.closer.Close())
}

// Progress returns how many octets were read, before decompression, and the size
// of the file, which is 0 if it has none (a pipe) or is followed. Another goroutine than the one that calls Next may
// call it.
func (r *Reader) Progress() (read, size int64) { return r.raw.n.Load(), r.size }

// Info is what a file says of itself, as far as it was read.
type Info struct {
	Format      string   // "pcap" or "pcapng"
	Compression string   // such as "gzip"; empty if there is none
	Packets     uint64   // read
	Bytes       int64    // octets read, before decompression
	Size        int64    // of the file; 0 if it has none
	LinkTypes   []uint32 // of the packets read, in ascending order
	Interfaces  int      // that the file describes
	Received    uint64   // packets that the interfaces received, by their last statistics; 0 if there are none
	Dropped     uint64   // of which so many were not captured for want of room
	Warnings    []string // departures from the format that were put up with

	// Ended is when the capture ended, for all that its last packet is older; 0 if
	// that is not known. Only tcplife's own captures are believed: programs that
	// write a part of another capture leave the end of the whole in it.
	Ended Time
}

// Info returns what is known so far.
func (r *Reader) Info() Info {
	i := Info{
		Format:      r.format,
		Compression: r.compression,
		Packets:     r.packets,
		Bytes:       r.raw.n.Load(),
		Size:        r.size,
		Interfaces:  1,
		Warnings:    slices.Clone(r.warnings),
	}
	if r.format == "pcapng" {
		i.Interfaces = r.ng.interfaces
		i.Received, i.Dropped = r.ng.statistics()
		i.Ended = r.ng.ended
	}
	for w, set := range r.links {
		for ; set != 0; set &= set - 1 {
			i.LinkTypes = append(i.LinkTypes, uint32(w*64+bits.TrailingZeros64(set)))
		}
	}
	return i
}

// warn notes a departure from the format, once.
func (r *Reader) warn(w string) {
	if len(r.warnings) < maxWarnings && !slices.Contains(r.warnings, w) {
		r.warnings = append(r.warnings, w)
	}
}

// fill sees to it that n octets lie at r.pos. It returns io.EOF if there is none,
// io.ErrUnexpectedEOF if there are fewer. Slices of r.buf are invalid after it.
func (r *Reader) fill(n int) error {
	if r.end-r.pos >= n {
		return nil
	}
	return r.fillSlow(n)
}

func (r *Reader) fillSlow(n int) error {
	r.end = copy(r.buf, r.buf[r.pos:r.end])
	r.pos = 0
	for idle := 0; r.end < n; {
		if r.srcErr != nil {
			switch {
			case r.srcErr != io.EOF:
				return r.srcErr
			case r.end == 0:
				return io.EOF
			}
			return io.ErrUnexpectedEOF
		}
		if r.end == len(r.buf) { // grown by what was read, not by what the file says
			buf := make([]byte, min(2*len(r.buf), n))
			copy(buf, r.buf)
			r.buf = buf
		}
		if r.wait != nil {
			r.wait()
		}
		m, err := r.src.Read(r.buf[r.end:])
		if m < 0 || m > len(r.buf)-r.end {
			panic("capture: source returned an impossible count from Read")
		}
		r.end += m
		if err != nil {
			r.srcErr = unnamed(err)
		}
		if m > 0 {
			idle = 0
		} else if idle++; idle == 100 && err == nil {
			r.srcErr = io.ErrNoProgress
		}
	}
	return nil
}

// skip passes over n octets, of which the first may lie in the buffer.
func (r *Reader) skip(n int64) error {
	for n > 0 {
		if r.pos == r.end {
			if err := r.fill(1); err == io.EOF {
				return io.ErrUnexpectedEOF
			} else if err != nil {
				return err
			}
		}
		m := int(min(n, int64(r.end-r.pos)))
		r.pos += m
		n -= int64(m)
	}
	return nil
}
