package track

import (
	"time"

	"tcplife/decode/capture"
)

// Frames that are captured on several devices come a little out of order; a clock
// that was set back stays back. A step is more than stepBack, and is believed when
// stepFrames frames in a row are that far behind: then the capture's clock goes on
// from where it was.
const (
	stepBack   = time.Second
	stepFrames = 64
)

// A clock is the capture's. It never goes back.
type clock struct {
	now    capture.Time
	skew   time.Duration // what steps back of the captured times lie behind it
	behind int           // frames in a row that were
}

// tick moves the clock by a frame that was captured at the given time.
func (k *clock) tick(at capture.Time) {
	at = at.Add(k.skew)
	switch d := k.now.Sub(at); {
	case d <= stepBack:
		k.behind = 0
	case k.behind < stepFrames:
		k.behind++
	default:
		k.behind = 0
		k.skew += d
	}
	k.now = max(k.now, at)
}
