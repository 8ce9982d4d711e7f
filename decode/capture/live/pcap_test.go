//go:build pcap && (cgo || windows)

package live

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"testing"
	"time"

	"tcplife/decode/capture"
)

func TestPcap(t *testing.T) {
	list, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var loopback string
	for _, i := range list {
		if i.Loopback {
			loopback = i.Name
		}
	}
	s, err := Open(Options{Interfaces: []string{loopback}, Filter: "udp dst port 9 and greater 100"})
	if errors.Is(err, fs.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var p capture.Packet
	s.SetDeadline(time.Now().Add(10 * time.Millisecond))
	if err := s.Next(&p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	s.SetDeadline(time.Time{})
	c, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 100
	for sent := 0; sent < n; {
		if _, err := c.Write(make([]byte, 100+sent)); err == nil { // else the one before has found nobody listening
			sent++
		}
	}
	s.Stop()
	for i := range n {
		if err := s.Next(&p); err != nil {
			t.Fatalf("packet %d: %v", i+1, err)
		}
		if p.Frame != uint64(i+1) || int(p.Length) != len(p.Data) {
			t.Fatalf("packet %d: frame %d, %d of %d octets", i+1, p.Frame, len(p.Data), p.Length)
		}
	}
	if err := s.Next(&p); err != io.EOF {
		t.Fatalf("after Stop: %v", err)
	}
	if st := s.Stats(); st.Received < n {
		t.Errorf("%+v", st)
	}
}
