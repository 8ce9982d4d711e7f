package workload

import (
	"bufio"
	"io"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// snapLength is what the headers say: more than any packet has.
const snapLength = 256 << 10

// A writer writes a capture file: pcap with microseconds, or pcapng with
// nanoseconds. Its first error stays.
type writer struct {
	to     counter
	buf    *bufio.Writer
	format interface {
		WritePacket(gopacket.CaptureInfo, []byte) error
	}
	err error
}

type counter struct {
	io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += int64(n)
	return n, err
}

func newWriter(to io.Writer, ng bool) (*writer, error) {
	w := &writer{to: counter{Writer: to}}
	w.buf = bufio.NewWriterSize(&w.to, 128<<10)
	if !ng {
		p := pcapgo.NewWriter(w.buf)
		w.format = p
		return w, p.WriteFileHeader(snapLength, layers.LinkTypeEthernet)
	}
	p, err := pcapgo.NewNgWriterInterface(w.buf,
		pcapgo.NgInterface{LinkType: layers.LinkTypeEthernet, SnapLength: snapLength},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "tcplife"}})
	w.format = p
	return w, err
}

// packet writes a packet of that time, in nanoseconds since 1970.
func (w *writer) packet(at int64, frame []byte) {
	if w.err == nil {
		w.err = w.format.WritePacket(gopacket.CaptureInfo{
			Timestamp: time.Unix(0, at), CaptureLength: len(frame), Length: len(frame),
		}, frame)
	}
}

// size returns how many octets were written so far.
func (w *writer) size() int64 { return w.to.n + int64(w.buf.Buffered()) }

// close returns the size of the file.
func (w *writer) close() (int64, error) {
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	return w.to.n, w.err
}
