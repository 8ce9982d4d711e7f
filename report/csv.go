package report

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"tcplife/decode/capture"
	"tcplife/track"
)

// csvWriter is an encoder of RFC 4180 rows that leaves arrays out. With header
// set it writes the keys instead of the values, joined by dots.
type csvWriter struct {
	buf    []byte
	clock  clock
	header bool
	path   []string
}

// next begins a cell. It reports whether its value is wanted.
func (w *csvWriter) next(key string) bool {
	if len(w.buf) > 0 {
		w.buf = append(w.buf, ',')
	}
	if w.header {
		for _, p := range w.path {
			w.buf = append(w.buf, p...)
			w.buf = append(w.buf, '.')
		}
		w.buf = append(w.buf, key...)
	}
	return !w.header
}

func (w *csvWriter) str(key, val string) {
	if !w.next(key) {
		return
	}
	val = Printable(val)
	// A spreadsheet runs what begins so, and shows what is behind the apostrophe.
	// That leaves "-", which is standard input and no formula.
	if val != "" && strings.IndexByte("=+-@", val[0]) >= 0 && val != "-" {
		val = "'" + val
	}
	if !strings.ContainsAny(val, ",\"\r\n") {
		w.buf = append(w.buf, val...)
		return
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, strings.ReplaceAll(val, `"`, `""`)...)
	w.buf = append(w.buf, '"')
}

func (w *csvWriter) text(key string, val []byte) {
	if w.next(key) {
		w.buf = append(w.buf, val...)
	}
}

func (w *csvWriter) uint(key string, val uint64) {
	if w.next(key) {
		w.buf = strconv.AppendUint(w.buf, val, 10)
	}
}

func (w *csvWriter) bool(key string, val bool) {
	if w.next(key) {
		w.buf = strconv.AppendBool(w.buf, val)
	}
}

func (w *csvWriter) secs(key string, ns int64) {
	if w.next(key) {
		w.buf = appendSeconds(w.buf, ns)
	}
}

func (w *csvWriter) time(key string, t capture.Time) {
	if w.next(key) {
		w.buf = w.clock.append(w.buf, t)
	}
}

func (w *csvWriter) null(key string)   { w.next(key) }
func (w *csvWriter) open(key string)   { w.path = append(w.path, key) }
func (w *csvWriter) close()            { w.path = w.path[:len(w.path)-1] }
func (w *csvWriter) array(string) bool { return false }
func (w *csvWriter) end()              {}
func (w *csvWriter) none(string) bool  { return false } // a column for each field

// csv writes a row per connection and nothing else: a second kind of row would
// be in every reader's way.
type csv struct {
	scratch
	row csvWriter
	w   *bufio.Writer
}

func newCSV(w io.Writer, _ Options) Sink {
	s := &csv{w: bufio.NewWriterSize(w, outputBuffer), row: csvWriter{header: true}}
	// An error here is sticky in the bufio.Writer and comes with the next call.
	_ = s.Connection(&Connection{Conn: track.Empty()})
	s.row.header = false
	return s
}

func (s *csv) Connection(c *Connection) error {
	s.row.buf = s.row.buf[:0]
	s.connection(&s.row, c)
	s.row.buf = append(s.row.buf, '\n')
	_, err := s.w.Write(s.row.buf)
	return err
}

func (s *csv) Finding(*Finding) error { return nil }
func (s *csv) Capture(*Capture) error { return nil }
func (s *csv) Summary(*Summary) error { return nil }
func (s *csv) Close() error           { return s.w.Flush() }

// Flush hands on what is final.
func (s *csv) Flush() error { return s.w.Flush() }
