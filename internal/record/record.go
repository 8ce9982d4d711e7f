// Package record keeps the packets of interfaces in a capture file while something
// runs, and waits for the connections that close when it is over.
package record

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/decode/capture/live"
	"tcplife/track"
)

// A Source yields packets as they pass; live.Source is one. Next returns
// os.ErrDeadlineExceeded if there was none by the deadline, and io.EOF when all
// that came before Stop were returned.
type Source interface {
	SetDeadline(time.Time)
	Next(*capture.Packet) error
	Stop()
	Stats() live.Stats
	Close() error
}

// maxOctets bounds a recording: with live's snap length this is some ten million
// packets.
const maxOctets = 4 << 30

// trackBytes is the memory for the connections that Settle looks at. Of more than
// that take, the longest idle are forgotten.
const trackBytes = 64 << 20

// A Recorder keeps packets in a file until it is stopped.
type Recorder struct {
	source  Source
	file    *os.File
	buf     *bufio.Writer // to file
	out     *capture.NgWriter
	octets  int64
	decoder *decode.Decoder
	tracker *track.Tracker

	ask  chan chan int // of those that want to know how many connections close
	done chan struct{} // closed when err is valid
	err  error
}

// Start records what the source yields in the file, which it creates. The Recorder
// closes the source.
func Start(source Source, name string) (*Recorder, error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	r := &Recorder{
		source: source, file: file, buf: bufio.NewWriterSize(file, 1<<16),
		decoder: decode.NewDecoder(), tracker: track.New(track.Config{MaxBytes: trackBytes}),
		ask: make(chan chan int), done: make(chan struct{}),
	}
	r.out = capture.NewNgWriter(r.buf, "tcplife")
	go func() {
		defer close(r.done)
		r.err = r.run()
	}()
	return r, nil
}

// poll is how often a Recorder looks up from waiting for packets.
const poll = 20 * time.Millisecond

func (r *Recorder) run() (err error) {
	defer func() { err = errors.Join(err, r.end()) }()
	var p capture.Packet
	for {
		select {
		case to := <-r.ask:
			to <- r.closing()
		default:
		}
		r.source.SetDeadline(time.Now().Add(poll))
		switch err := r.source.Next(&p); {
		case err == nil:
			if err := r.write(&p); err != nil {
				return err
			}
			r.look(&p)
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}

// write adds a packet to the file.
func (r *Recorder) write(p *capture.Packet) error {
	if r.octets += int64(len(p.Data)); r.octets > maxOctets {
		return fmt.Errorf("more than %d GiB of packets: capture fewer, by a filter", maxOctets>>30)
	}
	return r.out.Write(p, "")
}

// look follows the connections, so that Settle knows which are closing.
func (r *Recorder) look(p *capture.Packet) {
	var seg decode.Segment
	if res := r.decoder.Decode(p, &seg); res.Kind == decode.AsSegment {
		r.tracker.Add(&seg)
	} else {
		r.tracker.AddTick(p.Time, p.Frame)
	}
}

// closing returns how many connections are under way from one state to another.
func (r *Recorder) closing() (n int) {
	r.tracker.Flush()
	r.tracker.Each(func(c *track.Conn) {
		for _, e := range c.Ends() {
			switch e.State() {
			case track.SynSent, track.SynReceived, track.FinWait1, track.FinWait2, track.CloseWait, track.Closing, track.LastAck:
				n++
				return
			}
		}
	})
	return n
}

// Settle waits until no connection is opening or closing any more, or the time is
// over. It returns how many still are.
func (r *Recorder) Settle(limit time.Duration) int {
	over := time.Now().Add(limit)
	// What has passed by now is seen within the source's lag.
	if !r.pause(min(limit, live.Lag+poll)) {
		return 0
	}
	for {
		to := make(chan int, 1)
		select {
		case r.ask <- to:
		case <-r.done:
			return 0
		}
		var n int
		select {
		case n = <-to:
		case <-r.done:
			return 0
		}
		if left := time.Until(over); n == 0 || left <= 0 || !r.pause(min(left, poll)) {
			return n
		}
	}
}

// pause waits, and reports whether the recording goes on.
func (r *Recorder) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.done:
		return false
	}
}

// Stop ends the recording, and returns what the system counted. The file holds all
// packets that passed before.
func (r *Recorder) Stop() (live.Stats, error) {
	r.source.Stop()
	<-r.done
	stats := r.source.Stats()
	return stats, errors.Join(r.err, r.source.Close())
}

// end completes the file.
func (r *Recorder) end() error {
	stats := r.source.Stats()
	err := r.out.Statistics(capture.Time(time.Now().UnixNano()), stats.Received, stats.Dropped)
	return cmp.Or(err, r.out.Close(), r.buf.Flush(), r.file.Close())
}
