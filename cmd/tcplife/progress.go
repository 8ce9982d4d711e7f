package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// progress shows on a terminal how far the reading has come.
type progress struct {
	w       io.Writer
	packets atomic.Uint64
	source  atomic.Pointer[measured]
	quit    chan struct{}
	once    sync.Once
	done    chan struct{}

	mu    sync.Mutex
	shown bool // a line of ours is on the terminal
}

// measured knows how far it was read; size is 0 if nobody knows where it ends.
type measured struct {
	name string
	of   interface{ Progress() (read, size int64) }
}

const (
	progressAfter = 1 * time.Second        // what takes less needs no progress line
	progressEvery = 200 * time.Millisecond // enough for the eye
)

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, quit: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *progress) run() {
	defer close(p.done)
	wait := time.NewTimer(progressAfter)
	defer wait.Stop()
	start := time.Now()
	for {
		select {
		case <-p.quit:
			p.clear()
			return
		case <-wait.C:
			p.show(time.Since(start))
			wait.Reset(progressEvery)
		}
	}
}

func (p *progress) show(elapsed time.Duration) {
	src := p.source.Load()
	if src == nil {
		return
	}
	read, size := src.of.Progress()
	packets := p.packets.Load()
	line := fmt.Sprintf("%s: %d MB", src.name, read/1e6)
	if size > 0 {
		line += fmt.Sprintf(" of %d MB (%d %%)", size/1e6, 100*read/size)
	}
	line += fmt.Sprintf(", %d packets, %.0f/s", packets, float64(packets)/elapsed.Seconds())
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	p.shown = true
}

// clear takes the line off the terminal, so that another can be written.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// stop ends the progress. It may be called more than once.
func (p *progress) stop() {
	p.once.Do(func() { close(p.quit) })
	<-p.done
}
