// Package report writes what was found about connections, in one of several
// formats. A user reads it as a table; a program reads it as JSON lines.
//
// The package decides nothing: what is reported comes from track and anomaly.
package report

import (
	"fmt"
	"io"
	"strings"

	"tcplife/decode/capture"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// Schema names the contract that programs rely on. Within it fields are added,
// never renamed or removed.
const Schema = "tcplife/1"

// A Sink writes a report in one format.
//
// It is called as things become final: Connection for each connection, Finding
// for what concerns several or none, Capture after the last connection of an
// input, Summary once, then Close, which does not close the underlying writer.
// Arguments are valid until the call returns. Errors are the writer's; after one
// the report is lost, and only Close may follow.
type Sink interface {
	Connection(*Connection) error
	Finding(*Finding) error
	Capture(*Capture) error
	Summary(*Summary) error
	Close() error
}

// A Flusher is a Sink that can hand on what it was given so far: while the next
// packet is waited for, nothing that is final should be.
type Flusher interface{ Flush() error }

// A Connection is a finished connection and what was found about it.
type Connection struct {
	*track.Conn
	ID       uint64 // over the whole run, where Conn.ID counts within one capture
	Capture  string // name of the input of its first frame
	Inputs   *Inputs
	VLAN     []uint16
	Tunnel   string
	Now      capture.Time // the capture's clock when the record was closed
	Findings []anomaly.Finding
	// NotJudged are the rules that could not tell whether they have a finding.
	NotJudged []anomaly.NotJudged
}

// duration returns the nanoseconds from the first segment to the last.
func (c *Connection) duration() int64 { return int64(c.End() - c.Start) }

// A TransitionSink is a Sink that tells of transitions while they happen. The
// record of the connection, which comes later, has them too.
type TransitionSink interface{ Transition(*Transition) error }

// A Transition is one that an end of a connection has just made.
type Transition struct {
	track.Transition
	Conn   *track.Conn
	ID     uint64 // as Connection has it
	Role   track.Role
	Inputs *Inputs
	// Withdrawn says that the end has contradicted what was told of it: it is in
	// state To after all.
	Withdrawn bool
}

// A Finding concerns several connections of an input, or none, or, where a capture
// goes on live, one connection that is not over.
type Finding struct {
	anomaly.Finding
	Capture string
	Inputs  *Inputs
}

// A Capture is an input that was read to its end, or as far as it is intact.
type Capture struct {
	Name        string
	Format      string   // such as "pcap" or "pcapng"
	Compression string   // such as "gzip"; empty if there is none
	LinkTypes   []string // by the names of tcpdump.org/linktypes.html
	Packets     uint64
	Bytes       uint64       // octets on the wire
	First, Last capture.Time // meaningful if Packets > 0
	Truncated   bool         // it ends in the middle of a record
	Connections uint64
	Filtered    uint64 // packets that were not wanted
	Skipped     []Skipped
	Warnings    []string
	Flaws

	latest capture.Time // of the packet counted last
}

// Skipped counts packets that are no TCP segment, for one reason.
type Skipped struct {
	Reason  string
	Packets uint64
}

// Count counts a packet of the capture.
func (c *Capture) Count(p *capture.Packet) {
	if c.Packets == 0 {
		c.First, c.Last, c.latest = p.Time, p.Time, p.Time
	}
	c.Flaws.Count(p, p.Time.Sub(c.latest))
	c.latest = p.Time
	c.Packets++
	c.Bytes += uint64(p.Length)
	c.First = min(c.First, p.Time)
	c.Last = max(c.Last, p.Time)
}

// Add counts a connection of the capture.
func (c *Capture) Add(conn *track.Conn) {
	c.Connections++
	c.Tally(conn)
}

// Options set how a report looks. The zero value is right for programs.
type Options struct {
	Color bool // ANSI colours
	Width int  // columns of the terminal; 0: no limit
	Limit int  // rows of tables; 0: no limit
	// Verbose tells people what could not be judged, too.
	Verbose bool
	// Explain returns the command that shows a connection segment by segment, nil if
	// there is none: what was on standard input is gone.
	Explain func(conn uint64) string
}

// formats lists the Sinks, the default first.
var formats = []struct {
	name    string
	open    func(io.Writer, Options) Sink
	foreign bool // it has the words of Zeek and Wireshark
	binary  bool // it is not text
}{
	{"table", newTable, false, false},
	{"summary", newSummaryOnly, false, false},
	{"jsonl", newJSONL, true, false},
	{"json", newJSON, true, false},
	{"csv", newCSV, true, false},
	{"ss", newSockets, false, false},
	{"zeek", newZeek, true, false},
	{"zeek-json", newZeekJSON, true, false},
	{"pcapng", newAnnotated, false, true},
	{"parquet", newParquet, true, true},
}

// Foreign reports whether the named format tells what Zeek and Wireshark call a
// connection: track.Config.History is for it, and decode.Segment.Stream.
func Foreign(format string) bool {
	for _, f := range formats {
		if f.name == format {
			return f.foreign
		}
	}
	return false
}

// Binary reports whether the named format is not text, and not for a terminal.
func Binary(format string) bool {
	for _, f := range formats {
		if f.name == format {
			return f.binary
		}
	}
	return false
}

// Formats returns the names of the formats, the default first.
func Formats() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return names
}

// New returns a Sink that writes the named format to w.
func New(format string, w io.Writer, o Options) (Sink, error) {
	for _, f := range formats {
		if f.name == format {
			return f.open(w, o), nil
		}
	}
	return nil, fmt.Errorf("unknown format %q: want one of %s", format, strings.Join(Formats(), ", "))
}
