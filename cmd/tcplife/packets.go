package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tcplife/decode/capture"
	"tcplife/decode/filter"
)

// packetFlags say which packets are looked at.
type packetFlags struct{ filter, since, until string }

func (f *packetFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.filter, "filter", "", "look only at packets that this `FILTER` wants; it may also stand behind the files")
	fs.StringVar(&f.since, "since", "", "look only at packets from this `TIME` on: 2026-11-20T12:00:00Z, 2026-11-20, 12:00:00 (of the first packet's day), or +30s after it")
	fs.StringVar(&f.until, "until", "", "analyse as if the capture had ended at this `TIME`")
}

// take returns the files among the arguments, and what the flags and the filter
// behind the files make of packets.
func (f *packetFlags) take(cmd *cobra.Command, args []string) (files []string, p packetFilter, err error) {
	files, expr, err := splitArgs(args, cmd.ArgsLenAtDash())
	if err != nil {
		return nil, packetFilter{}, err
	}
	if f.filter != "" && expr != "" {
		return nil, packetFilter{}, fmt.Errorf("two filters: --filter %q, and %q behind the files", f.filter, expr)
	}
	p.expr = f.filter + expr
	if err := checkFilter(p.expr); err != nil {
		return nil, packetFilter{}, err
	}
	p.window, err = parseWindow(f.since, f.until)
	return files, p, err
}

// checkFilter returns the error of an expression that is wrong for every link type.
func checkFilter(expr string) error {
	var first error
	for _, linkType := range [...]uint32{1, 101, 113, 0} { // a layout each
		_, err := filter.Compile(expr, linkType, 0)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// A packetFilter tells which packets are looked at. The zero packetFilter wants all.
type packetFilter struct {
	expr   string
	window window

	from, to capture.Time // window, in the observation at hand

	programs map[uint32]*filter.Filter // by link type, nil where expr cannot be compiled
	last     *filter.Filter            // of lastType
	lastType uint32
	useful   bool // a program is not nil
	refused  int  // programs that are
}

// begin prepares for an observation whose first packet has that time.
func (p *packetFilter) begin(first capture.Time) { p.from, p.to = p.window.in(first) }

// all reports whether every packet is looked at.
func (p *packetFilter) all() bool { return p.expr == "" && p.window == (window{}) }

// clock returns what the time of a packet makes of the capture's clock, which stops
// where the window ends.
func (p *packetFilter) clock(t capture.Time) capture.Time { return min(t, p.to) }

// wants reports whether the packet is looked at. The error, which is returned once
// for a link type, says that this cannot be told of its packets; none is wanted then.
func (p *packetFilter) wants(pkt *capture.Packet) (bool, error) {
	if p.window != (window{}) && (pkt.Time < p.from || pkt.Time >= p.to) {
		return false, nil
	}
	if p.expr == "" {
		return true, nil
	}
	var err error
	if p.programs == nil || pkt.LinkType != p.lastType {
		err = p.program(pkt.LinkType)
	}
	return p.last != nil && p.last.Match(pkt.Data, pkt.Length), err
}

// maxRefused bounds the link types that are told of: pcapng has room for 65536.
const maxRefused = 10

// program sets p.last to the program for a link type.
func (p *packetFilter) program(linkType uint32) (err error) {
	f, known := p.programs[linkType]
	if !known {
		if p.programs == nil {
			p.programs = make(map[uint32]*filter.Filter)
		}
		f, err = filter.Compile(p.expr, linkType, 0)
		if err != nil && !filter.Supported(linkType) {
			err = errors.New("packets of this link type cannot be filtered")
		}
		if err != nil {
			if p.refused++; p.refused > maxRefused {
				err = nil
			} else {
				err = fmt.Errorf("%s: %w", linkTypeName(linkType), err)
			}
		}
		p.programs[linkType] = f
		p.useful = p.useful || f != nil
	}
	p.last, p.lastType = f, linkType
	return err
}

// useless reports whether there were packets, and of none it could be told whether
// it is wanted.
func (p *packetFilter) useless() bool { return len(p.programs) > 0 && !p.useful }
