package capture

import (
	"io"
	"sync"
	"time"
)

// aheadBuffer is what a read ahead asks for. There are two of them: one is read
// into while the other is used. Some decompressors return no less than they are
// asked for, so more would hold back packets that were read.
const aheadBuffer = 64 << 10

// stopGrace is how long a pipe is read on when the user has interrupted: the
// program that writes to it was interrupted as well, and hands over what it holds.
const stopGrace = 500 * time.Millisecond

// An ahead reads a source in a goroutine of its own: so that decompressing goes
// on while packets are looked at, or so that waiting for a pipe can be ended.
type ahead struct {
	full  chan chunk
	empty chan []byte
	quit  chan struct{}
	once  sync.Once

	cur  chunk  // being used
	buf  []byte // that it lies in
	stop <-chan struct{}
	over <-chan time.Time // when stop was closed, and the grace is over
	done error
}

type chunk struct {
	data []byte
	err  error // what came with it
}

// newAhead returns a reader ahead of src. When stop is closed, if it isn't nil,
// the source ends after stopGrace. The source is read no more after Close, but a
// Read that waits is not ended by it: that is for closing the source.
func newAhead(src io.Reader, stop <-chan struct{}) *ahead {
	a := &ahead{full: make(chan chunk, 2), empty: make(chan []byte, 2), quit: make(chan struct{}), stop: stop}
	a.empty <- make([]byte, aheadBuffer)
	a.empty <- make([]byte, aheadBuffer)
	go a.run(src)
	return a
}

func (a *ahead) run(src io.Reader) {
	for {
		var b []byte
		select {
		case b = <-a.empty:
		case <-a.quit:
			return
		}
		n, err := src.Read(b)
		select {
		case a.full <- chunk{b[:n], err}:
		case <-a.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *ahead) Read(b []byte) (int, error) {
	if a.done != nil {
		return 0, a.done
	}
	if len(a.cur.data) == 0 {
		if a.buf != nil {
			a.empty <- a.buf // never blocks: two are all there are
			a.buf = nil
		}
		if !a.next() {
			a.done = io.EOF
			return 0, io.EOF
		}
		a.buf = a.cur.data[:cap(a.cur.data)]
	}
	n := copy(b, a.cur.data)
	a.cur.data = a.cur.data[n:]
	if len(a.cur.data) == 0 {
		a.done = a.cur.err
	}
	return n, a.done
}

// next waits for the next chunk. It reports false if it was told to stop.
func (a *ahead) next() bool {
	for {
		select {
		case a.cur = <-a.full:
			return true
		case <-a.stop:
			a.stop, a.over = nil, time.After(stopGrace)
		case <-a.over:
			return false
		}
	}
}

func (a *ahead) close() { a.once.Do(func() { close(a.quit) }) }
