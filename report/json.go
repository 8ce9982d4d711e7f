package report

import (
	"bufio"
	"io"
)

// document writes the records of jsonl as one JSON document. Connections stream;
// the lists that stay short are kept until the connections are complete, so
// they come after them.
type document struct {
	scratch
	json               jsonWriter
	w                  *bufio.Writer
	started            bool
	captures, findings []byte // elements, comma-separated
	total              []byte
}

func newJSON(w io.Writer, _ Options) Sink {
	return &document{w: bufio.NewWriterSize(w, outputBuffer)}
}

func (s *document) begin() { s.json.buf = append(s.json.buf[:0], '{') }

// keep appends the finished record to a list.
func (s *document) keep(list []byte) []byte {
	if len(list) > 0 {
		list = append(list, ",\n"...)
	}
	list = append(list, s.json.buf...)
	return append(list, '}')
}

func (s *document) start() {
	if !s.started {
		s.started = true
		s.w.WriteString(`{"schema":"` + Schema + `","connections":[` + "\n")
	}
}

func (s *document) Connection(c *Connection) error {
	if s.started {
		s.w.WriteString(",\n")
	}
	s.start()
	s.begin()
	s.connection(&s.json, c)
	s.json.buf = append(s.json.buf, '}')
	_, err := s.w.Write(s.json.buf)
	return err
}

func (s *document) Finding(f *Finding) error {
	s.begin()
	s.scratch.finding(&s.json, f)
	s.findings = s.keep(s.findings)
	return nil
}

func (s *document) Capture(c *Capture) error {
	s.begin()
	s.capture(&s.json, c)
	s.captures = s.keep(s.captures)
	return nil
}

func (s *document) Summary(m *Summary) error {
	s.begin()
	s.summary(&s.json, m)
	s.total = s.keep(s.total)
	return nil
}

func (s *document) Close() error {
	s.start()
	s.w.WriteString("\n],\"findings\":[\n")
	s.w.Write(s.findings)
	s.w.WriteString("\n],\"captures\":[\n")
	s.w.Write(s.captures)
	s.w.WriteString("\n],\"summary\":")
	if s.total == nil {
		s.total = []byte("null")
	}
	s.w.Write(s.total)
	s.w.WriteString("}\n")
	return s.w.Flush()
}
