package workload

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
)

// A Source makes a capture. It marshals to what the capture depends on.
type Source interface {
	File() string // its name, without directory
	Write(io.Writer) (Truth, error)
}

// File returns the name of the workload's capture.
func (w Workload) File() string {
	if w.PcapNG {
		return w.Name + ".pcapng"
	}
	return w.Name + ".pcap"
}

// made is what lies beside a capture, as FILE.truth.json.
type made struct {
	Version int
	Source  json.RawMessage
	Truth   Truth
}

// Make makes the capture in dir, unless it is there already. It returns its path
// and what is in it.
func Make(s Source, dir string) (string, Truth, error) {
	path := filepath.Join(dir, s.File())
	source, err := json.Marshal(s)
	if err != nil {
		return "", Truth{}, err
	}
	if t, ok := Made(s, dir); ok {
		return path, t, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return "", Truth{}, err
	}
	t, err := s.Write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(path)
		return "", Truth{}, err
	}
	text, err := json.MarshalIndent(made{version, source, t}, "", "\t")
	if err == nil {
		err = os.WriteFile(path+".truth.json", append(text, '\n'), 0o644)
	}
	return path, t, err
}

// Made returns what is in the capture, if dir has it.
func Made(s Source, dir string) (Truth, bool) {
	path := filepath.Join(dir, s.File())
	want, err := json.Marshal(s)
	if err != nil {
		return Truth{}, false
	}
	text, err := os.ReadFile(path + ".truth.json")
	if err != nil {
		return Truth{}, false
	}
	var m made
	var have bytes.Buffer
	if json.Unmarshal(text, &m) != nil || m.Version != version || json.Compact(&have, m.Source) != nil {
		return Truth{}, false
	}
	fi, err := os.Stat(path)
	return m.Truth, err == nil && fi.Size() == m.Truth.Bytes && bytes.Equal(have.Bytes(), want)
}

// Size returns how many octets the capture will have, about: as many for each
// connection as a few of them take.
func (w Workload) Size() int64 {
	few := w
	few.Connections = min(w.Connections, 2000)
	t, err := few.Write(io.Discard)
	if err != nil {
		return 0
	}
	return t.Bytes * int64(w.Connections) / int64(few.Connections)
}
