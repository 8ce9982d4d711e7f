package report

import (
	"bufio"
	"io"
	"strconv"

	"tcplife/decode/capture"
)

// jsonWriter is an encoder of JSON onto a buffer that is reused.
type jsonWriter struct {
	buf   []byte
	clock clock
}

// key begins a member, or an element if name is empty. A name is a field's, and needs
// no escaping.
func (w *jsonWriter) key(name string) {
	switch last := w.buf[len(w.buf)-1]; last {
	case '{', '[':
	default:
		w.buf = append(w.buf, ',')
	}
	if name != "" {
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, name...)
		w.buf = append(w.buf, '"', ':')
	}
}

func (w *jsonWriter) str(key, val string) {
	w.key(key)
	w.buf = appendQuoted(w.buf, val)
}

func (w *jsonWriter) text(key string, val []byte) {
	w.key(key)
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, val...)
	w.buf = append(w.buf, '"')
}

func (w *jsonWriter) uint(key string, val uint64) {
	w.key(key)
	w.buf = strconv.AppendUint(w.buf, val, 10)
}

func (w *jsonWriter) bool(key string, val bool) {
	w.key(key)
	w.buf = strconv.AppendBool(w.buf, val)
}

func (w *jsonWriter) secs(key string, ns int64) {
	w.key(key)
	w.buf = appendSeconds(w.buf, ns)
}

func (w *jsonWriter) time(key string, t capture.Time) {
	w.key(key)
	w.buf = append(w.buf, '"')
	w.buf = w.clock.append(w.buf, t)
	w.buf = append(w.buf, '"')
}

func (w *jsonWriter) null(key string) {
	w.key(key)
	w.buf = append(w.buf, "null"...)
}

func (w *jsonWriter) open(key string) {
	w.key(key)
	w.buf = append(w.buf, '{')
}

func (w *jsonWriter) close() { w.buf = append(w.buf, '}') }

func (w *jsonWriter) array(key string) bool {
	w.key(key)
	w.buf = append(w.buf, '[')
	return true
}

func (w *jsonWriter) none(key string) bool {
	w.null(key)
	return true
}

func (w *jsonWriter) end() { w.buf = append(w.buf, ']') }

// jsonl writes one JSON object per line, each as soon as it is final.
type jsonl struct {
	scratch
	json jsonWriter
	w    *bufio.Writer
}

const outputBuffer = 64 << 10

func newJSONL(w io.Writer, _ Options) Sink {
	return &jsonl{w: bufio.NewWriterSize(w, outputBuffer)}
}

func (s *jsonl) begin() { s.json.buf = append(s.json.buf[:0], '{') }

func (s *jsonl) write() error {
	s.json.buf = append(s.json.buf, '}', '\n')
	_, err := s.w.Write(s.json.buf)
	return err
}

func (s *jsonl) Connection(c *Connection) error {
	s.begin()
	s.connection(&s.json, c)
	return s.write()
}

func (s *jsonl) Finding(f *Finding) error {
	s.begin()
	s.finding(&s.json, f)
	return s.write()
}

// Transition makes it a TransitionSink.
func (s *jsonl) Transition(t *Transition) error {
	s.begin()
	s.event(&s.json, t)
	return s.write()
}

func (s *jsonl) Capture(c *Capture) error {
	s.begin()
	s.capture(&s.json, c)
	return s.write()
}

func (s *jsonl) Summary(m *Summary) error {
	s.begin()
	s.summary(&s.json, m)
	return s.write()
}

func (s *jsonl) Close() error { return s.w.Flush() }

// Flush hands on what is final.
func (s *jsonl) Flush() error { return s.w.Flush() }
