package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"tcplife/decode/capture"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// A PacketSink is a Sink whose report has the input's packets in it. After the last
// connection, and before Summary, Packet is called with each packet that was looked
// at, in the order of the analysis, and the name of its input.
type PacketSink interface {
	Sink
	Packet(p *capture.Packet, input string) error
	LeftOut() uint64 // comments for which there was no room
}

// annotated writes the packets in pcapng, with comments where an end changed its
// state and where a finding is shown. It keeps what to say, not the packets.
type annotated struct {
	out      *bufio.Writer
	w        *capture.NgWriter
	moves    []moveNote
	findings []findingNote
	left     uint64 // comments for which there was no room
	sorted   bool
	err      error
	comments []string
}

// maxNotes bounds the comments that are kept, of either kind: 300 MB for both. A
// capture that wants more is not one to read packet by packet.
const maxNotes = 2 << 20

// A moveNote is a change of state to tell of.
type moveNote struct {
	frame, conn uint64
	side        track.Role
	from, to    track.State
	basis       track.Basis
}

// A findingNote is a finding to tell of.
type findingNote struct {
	frame, conn uint64
	text        string // shared by the frames that show it
}

func newAnnotated(w io.Writer, _ Options) Sink {
	out := bufio.NewWriterSize(w, outputBuffer)
	return &annotated{out: out, w: capture.NewNgWriter(out, "tcplife")}
}

func (s *annotated) Connection(c *Connection) error {
	for r, end := range c.Ends() {
		for _, t := range end.Transitions() {
			switch {
			case t.Frame == 0 || t.Basis == track.Timer: // the clock moved it, and no packet
			case len(s.moves) == maxNotes:
				s.left++
			default:
				s.moves = append(s.moves, moveNote{t.Frame, c.ID, track.Role(r), t.From, t.To, t.Basis})
			}
		}
	}
	for i := range c.Findings {
		s.finding(&c.Findings[i], c.ID)
	}
	return nil
}

func (s *annotated) finding(f *anomaly.Finding, conn uint64) {
	text := fmt.Sprintf("%v %s", f.Severity, f.Rule.Name)
	if side := f.Side.String(); side != "" {
		text += " of the " + side
	}
	text = Printable(text + ": " + f.Message)
	for _, frame := range f.Packets {
		if len(s.findings) == maxNotes {
			s.left++
			continue
		}
		s.findings = append(s.findings, findingNote{frame, conn, text})
	}
}

func (s *annotated) Finding(f *Finding) error {
	s.finding(&f.Finding, 0)
	return nil
}

// Packet writes a packet with what there is to say of it.
func (s *annotated) Packet(p *capture.Packet, input string) error {
	if !s.sorted {
		s.sorted = true
		// Stable: what was told first stands first.
		slices.SortStableFunc(s.moves, func(a, b moveNote) int { return cmp.Compare(a.frame, b.frame) })
		slices.SortStableFunc(s.findings, func(a, b findingNote) int { return cmp.Compare(a.frame, b.frame) })
	}
	s.comments = s.comments[:0]
	of := func(conn uint64) string {
		if conn == 0 {
			return "tcplife: "
		}
		return fmt.Sprintf("tcplife, connection %d: ", conn)
	}
	i, _ := slices.BinarySearchFunc(s.moves, p.Frame, func(n moveNote, frame uint64) int { return cmp.Compare(n.frame, frame) })
	for ; i < len(s.moves) && s.moves[i].frame == p.Frame; i++ {
		n := &s.moves[i]
		s.comments = append(s.comments, fmt.Sprintf("%s%v %v -> %v (%v)", of(n.conn), n.side, n.from, n.to, n.basis))
	}
	i, _ = slices.BinarySearchFunc(s.findings, p.Frame, func(n findingNote, frame uint64) int { return cmp.Compare(n.frame, frame) })
	for ; i < len(s.findings) && s.findings[i].frame == p.Frame; i++ {
		s.comments = append(s.comments, of(s.findings[i].conn)+s.findings[i].text)
	}
	s.err = s.w.Write(p, Printable(filepath.Base(input)), s.comments...)
	return s.err
}

func (s *annotated) Capture(*Capture) error { return nil }
func (s *annotated) Summary(*Summary) error { return nil }

func (s *annotated) LeftOut() uint64 { return s.left }

func (s *annotated) Close() error {
	if s.err != nil {
		return s.err
	}
	if err := s.w.Close(); err != nil {
		return err
	}
	return s.out.Flush()
}
