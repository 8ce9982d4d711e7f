package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"tcplife/decode/capture"
	"tcplife/decode/filter"
)

// TestFilterOnly: a filter does what replacing the packets that it doesn't want by
// others that aren't TCP does, which move the clock and are counted as frames.
func TestFilterOnly(t *testing.T) {
	names, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d samples: %v", len(names), err)
	}
	for i := range names {
		if names[i], err = filepath.Abs(names[i]); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(t.TempDir())
	for i, expr := range []string{
		"tcp and src portrange 40000-40010", "tcp[tcpflags] & tcp-ack != 0", "not icmp", "less 66", "tcp[4:4] & 1 = 0",
		"host 192.0.2.1 or net 198.51.100.32/27", "arp", "",
	} {
		wanted, all := 0, 0
		for j, name := range names {
			if (i+j)%4 > 0 { // each expression on a quarter of them
				continue
			}
			w, n := disguise(t, name, expr, "a.pcap")
			wanted, all = wanted+w, all+n
			want := connections(t, "-f", "jsonl", "a.pcap")
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile("a.pcap", data, 0o644); err != nil {
				t.Fatal(err)
			}
			if got := connections(t, "-f", "jsonl", "a.pcap", "--filter", expr); got != want {
				t.Errorf("%s, %q: got\n%swant\n%s", name, expr, got, want)
			}
		}
		t.Logf("%q wants %d of %d packets", expr, wanted, all)
	}
}

// TestManyLinkTypes: pcapng may have as many as it likes; a few are told, each once.
func TestManyLinkTypes(t *testing.T) {
	p := packetFilter{expr: "port 80"}
	told := 0
	for i := range uint32(2000) {
		ok, err := p.wants(&capture.Packet{LinkType: 1000 + i%1000, Data: make([]byte, 60), Length: 60})
		if ok {
			t.Fatal("a packet is wanted")
		}
		if err != nil {
			told++
		}
	}
	if told != maxRefused || !p.useless() {
		t.Errorf("%d errors, useless: %v", told, p.useless())
	}
	if _, err := p.wants(&capture.Packet{LinkType: 1, Data: make([]byte, 60), Length: 60}); err != nil || p.useless() {
		t.Errorf("Ethernet: %v, useless: %v", err, p.useless())
	}
}

// disguise writes a capture in which the packets that the filter doesn't want are
// of an Ethernet type that nothing has.
func disguise(t *testing.T, from, expr, to string) (wanted, all int) {
	t.Helper()
	f, err := filter.Compile(expr, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := capture.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(262144, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	var p capture.Packet
	for {
		err := r.Next(&p)
		if err == io.EOF {
			break
		}
		if err != nil || p.LinkType != 1 {
			t.Fatalf("%s: link type %d, %v", from, p.LinkType, err)
		}
		all++
		if f.Match(p.Data, p.Length) {
			wanted++
		} else {
			copy(p.Data[12:], "\x88\xb5") // for experiments (IEEE 802)
		}
		info := gopacket.CaptureInfo{Timestamp: p.Time.UTC(), CaptureLength: len(p.Data), Length: int(p.Length)}
		if err := w.WritePacket(info, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(to, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return wanted, all
}

var streamFields = regexp.MustCompile(`"tcp_stream":[^,]*,"display_filter":[^,]*,`)

// connections returns the records of connections that the command writes.
func connections(t *testing.T, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	if status := run(args, &out, &stderr); status != statusOK || stderr.Len() > 0 {
		t.Fatalf("%v: status %d, %q on stderr", args, status, stderr.String())
	}
	var conns strings.Builder
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, `{"type":"connection",`) {
			// Of a part of a file's packets, streams are not numbered.
			conns.WriteString(streamFields.ReplaceAllString(line, ""))
		}
	}
	return conns.String()
}
