package capture

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
)

const (
	// maxOpen bounds how many files are open at a time, and so what a merge costs:
	// a file is open from its first packet's time until its last packet is read.
	// Below it are the limits that systems set (1024 of Linux, 256 of macOS).
	maxOpen = 200

	// manyFiles is from which number on files are opened only to learn when they
	// begin, and then again when their time has come.
	manyFiles = 16

	// smallBuffer is what each of many files is read with: 5 % slower than with
	// bufferSize, at a sixteenth of the memory.
	smallBuffer = 64 << 10
)

// A Merge yields the packets of several files as one observation: by time, and
// packets of the same time in the order of the files. The packets of one file
// stay in its order, even where its clock steps back.
//
// A packet's Frame names its file too, see SplitFrame.
type Merge struct {
	paths []string
	first int // number of the first file
	opts  Options
	ended func(file int, info Info, err error)
	open  func(path string, o Options) (*Reader, error)

	started bool
	given   bool      // the packet of streams[0] was returned
	streams []*stream // a heap
	waiting []waiting // in order; opened when their time has come

	read atomic.Int64
	size int64
}

// A stream is an open file with its next packet.
type stream struct {
	file int
	r    *Reader
	p    Packet // valid until the next read of r
}

// waiting is a file that begins at that time.
type waiting struct {
	begins Time
	file   int
}

// NewMerge returns a Merge of the files, which are numbered from first on. ended
// is called once for each, when its last packet was taken: with its error, if it
// could not be opened or not be read to its end, which does not keep the others
// from being read. Info.Format is empty if it is no capture.
func NewMerge(paths []string, first int, o Options, ended func(file int, info Info, err error)) *Merge {
	m := &Merge{paths: paths, first: first, opts: o, ended: ended, open: func(path string, o Options) (*Reader, error) { return o.Open(path) }}
	if len(paths) > manyFiles && o.BufferSize == 0 {
		m.opts.BufferSize, m.opts.window = smallBuffer, manyWindow
	}
	m.opts.total = &m.read
	for _, p := range paths {
		fi, err := os.Stat(p)
		if o.Follow || p == "-" || err == nil && !fi.Mode().IsRegular() {
			m.size = 0
			break
		}
		if err == nil {
			m.size += fi.Size()
		}
	}
	return m
}

// Progress returns how many octets were read, before decompression, and the size
// of all files, which is 0 if one has none. Another goroutine than the one that
// calls Next may call it.
func (m *Merge) Progress() (read, size int64) { return m.read.Load(), m.size }

// Next reads the next packet. At the end of all files it returns io.EOF, and no
// other error: those are told to ended.
func (m *Merge) Next(p *Packet) error {
	switch {
	case m.given && len(m.streams) == 1 && len(m.waiting) == 0: // nothing is left to merge
		s := m.streams[0]
		if err := s.r.Next(p); err != nil {
			m.end(s, err)
			m.streams, m.given = nil, false
			return io.EOF
		}
		p.Frame = JoinFrame(m.first+s.file, p.Frame)
		return nil
	case m.given:
		m.given = false
		m.advance()
	case !m.started:
		m.started = true
		m.start()
	}
	for len(m.waiting) > 0 && (len(m.streams) == 0 || m.waiting[0].before(m.streams[0])) {
		w := m.waiting[0]
		m.waiting = m.waiting[1:]
		if s := m.begin(w.file); s != nil {
			m.push(s)
		}
	}
	if len(m.streams) == 0 {
		*p = Packet{}
		return io.EOF
	}
	s := m.streams[0]
	*p = s.p
	p.Frame = JoinFrame(m.first+s.file, p.Frame)
	m.given = true
	return nil
}

// start opens the files. Of many only those stay open that cannot be opened
// again.
func (m *Merge) start() {
	for file := range m.paths {
		s := m.begin(file)
		switch {
		case s == nil:
		case len(m.paths) <= manyFiles, !s.r.regular:
			m.push(s)
		default:
			m.waiting = append(m.waiting, waiting{s.p.Time, file})
			read, _ := s.r.Progress()
			m.read.Add(-read)
			s.r.Close()
		}
	}
	slices.SortFunc(m.waiting, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.begins, b.begins), cmp.Compare(a.file, b.file))
	})
}

// begin opens a file and reads its first packet. It returns nil if there is none.
func (m *Merge) begin(file int) *stream {
	if len(m.streams) == maxOpen {
		m.ended(m.first+file, Info{}, fmt.Errorf("not read: it overlaps in time with %d files that are open", maxOpen))
		return nil
	}
	r, err := m.open(m.paths[file], m.opts)
	if err != nil {
		m.ended(m.first+file, Info{}, err)
		return nil
	}
	s := &stream{file: file, r: r}
	if err := r.Next(&s.p); err != nil {
		m.end(s, err)
		return nil
	}
	return s
}

// end closes the file of s, which err ended.
func (m *Merge) end(s *stream, err error) {
	if err == io.EOF {
		err = nil
	}
	s.r.Close()
	m.ended(m.first+s.file, s.r.Info(), err)
}

// advance replaces the packet that was returned by the next of its file.
func (m *Merge) advance() {
	s := m.streams[0]
	if err := s.r.Next(&s.p); err != nil {
		m.end(s, err)
		last := len(m.streams) - 1
		m.streams[0] = m.streams[last]
		m.streams[last] = nil
		m.streams = m.streams[:last]
	}
	m.down()
}

// Close closes the files that are still open.
func (m *Merge) Close() {
	for _, s := range m.streams {
		s.r.Close()
	}
	m.streams, m.waiting, m.started, m.given = nil, nil, true, false
}

func (s *stream) before(u *stream) bool {
	return s.p.Time < u.p.Time || s.p.Time == u.p.Time && s.file < u.file
}

func (w *waiting) before(s *stream) bool {
	return w.begins < s.p.Time || w.begins == s.p.Time && w.file < s.file
}

// push puts s into the heap.
func (m *Merge) push(s *stream) {
	m.streams = append(m.streams, s)
	for i := len(m.streams) - 1; i > 0; {
		up := (i - 1) / 2
		if !m.streams[i].before(m.streams[up]) {
			return
		}
		m.streams[i], m.streams[up] = m.streams[up], m.streams[i]
		i = up
	}
}

// down restores the heap after a change of its first.
func (m *Merge) down() {
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(m.streams); c++ {
			if m.streams[c].before(m.streams[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		m.streams[i], m.streams[least] = m.streams[least], m.streams[i]
		i = least
	}
}
