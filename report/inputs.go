package report

import (
	"path/filepath"
	"strconv"

	"tcplife/decode/capture"
)

// Inputs are the names of a run's inputs. A frame tells which one it is of, see
// capture.SplitFrame. The nil Inputs are those of a run with one input, whose
// frames need no name.
type Inputs struct {
	names  []string // as given
	labels []string // printable, and without directories if they are told apart all the same
}

// NewInputs returns the Inputs of these names.
func NewInputs(names []string) *Inputs {
	in := &Inputs{names: names, labels: make([]string, len(names))}
	seen := make(map[string]bool, len(names))
	for i, n := range names {
		in.labels[i] = Printable(filepath.Base(n))
		seen[in.labels[i]] = true
	}
	if len(seen) < len(names) {
		for i, n := range names {
			in.labels[i] = Printable(n)
		}
	}
	return in
}

// Name returns the name of the input that the frame is of, "" if there are none.
func (in *Inputs) Name(frame uint64) string {
	if in == nil {
		return ""
	}
	file, _ := capture.SplitFrame(frame)
	return in.names[file]
}

// Frame returns the frame as people are told it: "7", or "b.pcap:7" if there are
// several inputs.
func (in *Inputs) Frame(frame uint64) string {
	file, n := capture.SplitFrame(frame)
	s := strconv.FormatUint(n, 10)
	if in == nil || len(in.names) < 2 {
		return s
	}
	return in.labels[file] + ":" + s
}

// elsewhere returns the name of the frame's input, and whether it is another than
// here.
func (in *Inputs) elsewhere(frame uint64, here string) (string, bool) {
	if in == nil || frame == 0 {
		return "", false
	}
	name := in.Name(frame)
	return name, name != here
}

func (in *Inputs) anyElsewhere(frames []uint64, here string) bool {
	for _, f := range frames {
		if _, other := in.elsewhere(f, here); other {
			return true
		}
	}
	return false
}

// number returns the frame's number in its file.
func number(frame uint64) uint64 {
	_, n := capture.SplitFrame(frame)
	return n
}
