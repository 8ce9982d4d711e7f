package capture

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFollow: a file is read while it grows, in pieces that end anywhere.
func TestFollow(t *testing.T) {
	file := newPcapWriter(binary.LittleEndian).file(samples)
	path := filepath.Join(t.TempDir(), "growing.pcap")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	go func() {
		for len(file) > 0 {
			n := min(37, len(file))
			w.Write(file[:n])
			file = file[n:]
			time.Sleep(followEvery / 8)
		}
	}()
	stop := make(chan struct{})
	waits := 0
	r, err := Options{Follow: true, Stop: stop, Wait: func() { waits++ }}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var p Packet
	for i, s := range samples {
		if err := r.Next(&p); err != nil || string(p.Data) != s.Data {
			t.Fatalf("packet %d: %q, %v", i, p.Data, err)
		}
	}
	time.AfterFunc(followEvery/2, func() { close(stop) })
	if err := r.Next(&p); err != io.EOF {
		t.Errorf("interrupted: %v", err)
	}
	if waits < 2 {
		t.Errorf("it waited %d times", waits)
	}
}

func TestFollowShrinking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shrinking.pcap")
	if err := os.WriteFile(path, newPcapWriter(binary.LittleEndian).file(samples[:1]), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Options{Follow: true}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var p Packet
	if err := r.Next(&p); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Next(&p); !errors.Is(err, errShrunk) {
		t.Errorf("got %v, want %v", err, errShrunk)
	}
}

// TestStopPipe: waiting for a pipe ends, but what its writer sends within the
// grace is read.
func TestStopPipe(t *testing.T) {
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	file := newPcapWriter(binary.LittleEndian).file(samples)
	cut := len(file) - 20
	stop := make(chan struct{})
	pw.Write(file[:cut])
	r, err := newFileReader(pr, pr, Options{Stop: stop})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	close(stop)
	time.AfterFunc(stopGrace/4, func() { pw.Write(file[cut:]) })
	var p Packet
	for n := 0; ; n++ {
		if err := r.Next(&p); err != nil {
			if err != io.EOF || n != len(samples) {
				t.Errorf("after %d packets: %v", n, err)
			}
			return
		}
	}
}
