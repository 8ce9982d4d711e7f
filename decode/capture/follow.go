package capture

import (
	"errors"
	"io"
	"os"
	"time"
)

// followEvery is how often a file is looked at that may have grown: soon enough
// for the eye, and no load.
const followEvery = 100 * time.Millisecond

var errShrunk = errors.New("the file became shorter while it was followed")

// A follower reads a file that is still written to: at its end it waits for
// more, until stop is closed.
type follower struct {
	f    *os.File
	stop <-chan struct{}
	at   int64
}

func (w *follower) Read(b []byte) (int, error) {
	for {
		n, err := w.f.Read(b)
		w.at += int64(n)
		if n > 0 || err != io.EOF {
			return n, err
		}
		select {
		case <-w.stop:
			return 0, io.EOF
		case <-time.After(followEvery):
		}
		if fi, err := w.f.Stat(); err == nil && fi.Size() < w.at {
			return 0, errShrunk
		}
	}
}
