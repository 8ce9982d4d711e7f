package capture

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A PcapWriter writes packets to a pcap file of nanoseconds, which has room for one
// link type.
type PcapWriter struct {
	w     io.Writer
	begun bool
	link  uint32
	buf   []byte
}

// NewPcapWriter returns a PcapWriter to w. Nothing is written before the first
// packet, whose link type is the file's.
func NewPcapWriter(w io.Writer) *PcapWriter { return &PcapWriter{w: w} }

// Write writes a packet. It is an error if its link type is not the first one's.
func (w *PcapWriter) Write(p *Packet) error {
	const nanoseconds = 0xa1b23c4d
	b := w.buf[:0]
	if !w.begun {
		w.begun, w.link = true, p.LinkType
		b = binary.LittleEndian.AppendUint32(b, nanoseconds)
		b = binary.LittleEndian.AppendUint16(b, 2) // version 2.4
		b = binary.LittleEndian.AppendUint16(b, 4)
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, snapLength)
		b = binary.LittleEndian.AppendUint32(b, p.LinkType)
	}
	if p.LinkType != w.link {
		return fmt.Errorf("packets of link types %d and %d: pcapng has room for both, pcap has not", w.link, p.LinkType)
	}
	t := max(p.Time, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(t/1e9))
	b = binary.LittleEndian.AppendUint32(b, uint32(t%1e9))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Data)))
	b = binary.LittleEndian.AppendUint32(b, max(p.Length, uint32(len(p.Data))))
	b = append(b, p.Data...)
	w.buf = b
	_, err := w.w.Write(b)
	return err
}

// snapLength is what is written as the most that is captured of a packet: the most
// that libpcap accepts of most link types.
const snapLength = 262144

// An NgWriter writes packets with comments to a pcapng file.
type NgWriter struct {
	w           io.Writer
	application string
	begun       bool
	interfaces  map[ngInterface]uint32
	buf         []byte
}

// An ngInterface is what packets are told apart by.
type ngInterface struct {
	name string
	link uint32
}

// NewNgWriter returns an NgWriter to w, of the named application. Nothing is written
// before the first packet.
func NewNgWriter(w io.Writer, application string) *NgWriter {
	return &NgWriter{w: w, application: application, interfaces: map[ngInterface]uint32{}}
}

// Write writes a packet that came from the named interface or file, with comments,
// which are UTF-8.
func (w *NgWriter) Write(p *Packet, from string, comments ...string) error {
	b := w.buf[:0]
	if !w.begun {
		b = w.section(b)
	}
	i := ngInterface{from, p.LinkType}
	id, ok := w.interfaces[i]
	if !ok {
		id = uint32(len(w.interfaces))
		w.interfaces[i] = id
		b = ngBlock(b, blockInterface, func(b []byte) []byte {
			b = binary.LittleEndian.AppendUint16(b, uint16(p.LinkType))
			b = append(b, 0, 0)
			b = binary.LittleEndian.AppendUint32(b, 0) // no limit
			b = ngOption(b, optIfName, from)
			b = ngOption(b, optIfTsresol, "\x09")
			return ngOption(b, optEnd, "")
		})
	}
	b = ngBlock(b, blockPacket, func(b []byte) []byte {
		t := uint64(max(p.Time, 0))
		b = binary.LittleEndian.AppendUint32(b, id)
		b = binary.LittleEndian.AppendUint32(b, uint32(t>>32))
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Data)))
		b = binary.LittleEndian.AppendUint32(b, max(p.Length, uint32(len(p.Data))))
		b = padded(append(b, p.Data...))
		for _, c := range comments {
			b = ngOption(b, optComment, c)
		}
		if len(comments) > 0 {
			b = ngOption(b, optEnd, "")
		}
		return b
	})
	w.begun, w.buf = true, b
	_, err := w.w.Write(b)
	return err
}

// Statistics writes until when packets were captured, and how many of them the
// system has received and dropped. Of a file without packets there are none.
func (w *NgWriter) Statistics(ended Time, received, dropped uint64) error {
	if len(w.interfaces) == 0 {
		return nil
	}
	t := uint64(max(ended, 0))
	w.buf = ngBlock(w.buf[:0], blockStatistics, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, 0) // the first interface stands for all
		b = binary.LittleEndian.AppendUint32(b, uint32(t>>32))
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
		for _, o := range [...]struct {
			code  uint16
			value uint64
		}{{optIsbEndtime, t<<32 | t>>32}, {optIsbIfrecv, received}, {optIsbIfdrop, dropped}} { // a time is two words, the high one first
			b = ngOption(b, o.code, string(binary.LittleEndian.AppendUint64(nil, o.value)))
		}
		return ngOption(b, optEnd, "")
	})
	_, err := w.w.Write(w.buf)
	return err
}

// Close writes the header of a file without packets, if there were none. It does not
// close the underlying writer.
func (w *NgWriter) Close() error {
	if w.begun {
		return nil
	}
	_, err := w.w.Write(w.section(nil))
	return err
}

func (w *NgWriter) section(b []byte) []byte {
	return ngBlock(b, blockSection, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
		b = binary.LittleEndian.AppendUint16(b, 1) // version 1.0
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // length unknown
		b = ngOption(b, optShbUserappl, w.application)
		return ngOption(b, optEnd, "")
	})
}

// ngBlock appends a block with what body appends, which is a multiple of 4 octets.
func ngBlock(b []byte, typ uint32, body func([]byte) []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, typ)
	b = append(b, 0, 0, 0, 0)
	b = body(b)
	n := uint32(len(b) - at + 4)
	binary.LittleEndian.PutUint32(b[at+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

// maxOption bounds the octets of an option, whose length has 16 bits.
const maxOption = 1<<16 - 4

func ngOption(b []byte, code uint16, v string) []byte {
	v = v[:min(len(v), maxOption)]
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(v)))
	return padded(append(b, v...))
}

// padded appends zeros to a multiple of 4 octets, of what is in blocks of such.
func padded(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
