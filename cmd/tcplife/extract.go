package main

import (
	"bufio"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/report"
	"tcplife/track"
)

// An extract is the packets of one connection, in a file of their own.
type extract struct {
	name   string
	want   uint64
	inputs []string
	frames []uint64 // 8 octets for each packet of the connection
}

// newExtract returns the extract of the connection of that id, to be written to the
// named file, which it does not create yet.
func newExtract(name string, id uint64, files []string) (*extract, error) {
	if err := rereadable(files); err != nil {
		return nil, fmt.Errorf("--pcap: %w", err)
	}
	return &extract{name: name, want: id, inputs: files}, nil
}

// observing returns what observes segments and ICMP errors, and tells others.
func (x *extract) observing(
	segment func(uint64, *track.Conn, *decode.Segment, track.Notes), icmp func(uint64, *track.Conn, *decode.ICMPError),
) (
	func(uint64, *track.Conn, *decode.Segment, track.Notes), func(uint64, *track.Conn, *decode.ICMPError),
) {
	note := func(id, frame uint64) {
		if id == x.want {
			x.frames = append(x.frames, frame)
		}
	}
	return func(id uint64, c *track.Conn, seg *decode.Segment, n track.Notes) {
			note(id, seg.Frame)
			segment(id, c, seg, n)
		}, func(id uint64, c *track.Conn, e *decode.ICMPError) {
			note(id, e.Frame)
			icmp(id, c, e)
		}
}

// write reads the files a second time and writes the packets.
func (x *extract) write(a *analysis, files []string) (err error) {
	file, err := createOutput(x.name, x.inputs)
	if err != nil {
		return fmt.Errorf("%s", strings.Replace(err.Error(), "--output", "--pcap", 1))
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriter(file)
	slices.Sort(x.frames)
	x.frames = slices.Compact(x.frames)
	if a.joined {
		if err := x.fragments(a, files); err != nil {
			return fmt.Errorf("--pcap %s: %w", x.name, err)
		}
	}
	left := len(x.frames)
	write := ngExtract(a, capture.NewNgWriter(out, "tcplife"))
	if ext := strings.ToLower(filepath.Ext(x.name)); ext == ".pcap" || ext == ".cap" {
		write = capture.NewPcapWriter(out).Write
	}
	err = a.again(files, func(p *capture.Packet) error {
		if left == 0 {
			return errEnough
		}
		if _, ok := slices.BinarySearch(x.frames, p.Frame); !ok {
			return nil
		}
		left--
		return write(p)
	})
	if err == nil || errors.Is(err, errEnough) {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("--pcap %s: %w", x.name, err)
	}
	return nil
}

// fragments adds the frames of the fragments that segments were put together from. It
// reads the files for it, which only a capture with fragments takes.
func (x *extract) fragments(a *analysis, files []string) error {
	var all []uint64
	var d *decode.Decoder
	var seg decode.Segment
	file := -1
	err := a.again(files, func(p *capture.Packet) error {
		if d == nil || a.separate && fileOf(p.Frame) != file {
			d, file = decode.NewDecoder(), fileOf(p.Frame)
			d.Fragmented = func(frames []uint64) {
				if _, ok := slices.BinarySearch(x.frames, frames[len(frames)-1]); ok {
					all = append(all, frames...)
				}
			}
		}
		d.Decode(p, &seg)
		return nil
	})
	x.frames = append(x.frames, all...)
	slices.Sort(x.frames)
	x.frames = slices.Compact(x.frames)
	return err
}

// errEnough ends reading: all packets were written.
var errEnough = errors.New("enough")

// ngExtract writes packets with the names of their files.
func ngExtract(a *analysis, w *capture.NgWriter) func(*capture.Packet) error {
	return func(p *capture.Packet) error {
		return w.Write(p, report.Printable(filepath.Base(a.inputs.Name(p.Frame))))
	}
}
