package capture

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
)

// written are packets of two link types, of all lengths modulo 4, one of which was
// captured in part.
func written() []Packet {
	var all []Packet
	for i := range 9 {
		data := make([]byte, i)
		for j := range data {
			data[j] = byte(rand.N(256))
		}
		all = append(all, Packet{
			Time: 1700000000_123456789 + Time(i), Frame: uint64(i + 1), LinkType: []uint32{1, 101}[i/5], Length: uint32(i) + uint32(i%3), Data: data,
		})
	}
	return all
}

// readBack holds what a Reader reads to the packets.
func readBack(t *testing.T, file []byte, want []Packet) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		var p Packet
		if err := r.Next(&p); err != nil {
			t.Fatal(err)
		}
		w := &want[i]
		if p.Time != w.Time || p.LinkType != w.LinkType || p.Length != w.Length || !bytes.Equal(p.Data, w.Data) {
			t.Errorf("packet %d: %+v, want %+v", i+1, p, *w)
		}
	}
	if err := r.Next(new(Packet)); err != io.EOF {
		t.Errorf("behind the last: %v", err)
	}
}

func TestPcapWriter(t *testing.T) {
	var out bytes.Buffer
	w := NewPcapWriter(&out)
	packets := written()
	for i := range packets[:5] {
		if err := w.Write(&packets[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(&packets[5]); err == nil || !strings.Contains(err.Error(), "pcapng has room for both") {
		t.Errorf("another link type: %v", err)
	}
	readBack(t, out.Bytes(), packets[:5])
	r, err := pcapgo.NewReader(&out) // gopacket's
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		data, info, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, packets[i].Data) || info.Timestamp.UnixNano() != int64(packets[i].Time) || info.Length != int(packets[i].Length) {
			t.Errorf("packet %d: %v %+v %v", i+1, data, info, err)
		}
	}
}

func TestNgWriter(t *testing.T) {
	var out bytes.Buffer
	w := NewNgWriter(&out, "tcplife")
	packets := written()
	for i := range packets {
		if err := w.Write(&packets[i], "a.pcap", make([]string, i%3)...); err != nil {
			t.Fatal(err)
		}
	}
	// A comment of any length, and any name.
	if err := w.Write(&packets[0], strings.Repeat("ß", 70000), strings.Repeat("x", 70000), "é"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	readBack(t, out.Bytes(), append(written()[:0:0], append(packets, packets[0])...))
	r, err := pcapgo.NewNgReader(&out, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		data, info, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, packets[i].Data) || info.Timestamp.UnixNano() != int64(packets[i].Time) {
			t.Errorf("packet %d: %v %+v %v", i+1, data, info, err)
		}
	}
}

// TestNgWriterEmpty: without packets it is a capture all the same.
func TestNgWriterEmpty(t *testing.T) {
	var out bytes.Buffer
	if err := NewNgWriter(&out, "tcplife").Close(); err != nil {
		t.Fatal(err)
	}
	readBack(t, out.Bytes(), nil)
}

// TestNgStatistics: what was counted is read back, by gopacket too.
func TestNgStatistics(t *testing.T) {
	var out, empty bytes.Buffer
	w := NewNgWriter(&out, "tcplife")
	packets := written()
	for i := range packets {
		if err := w.Write(&packets[i], "eth0"); err != nil {
			t.Fatal(err)
		}
	}
	const ended = 1700000009_123456789
	if err := w.Statistics(ended, 1<<40, 7); err != nil {
		t.Fatal(err)
	}
	readBack(t, out.Bytes(), packets)
	r, err := NewReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var p Packet
	for r.Next(&p) == nil {
	}
	if i := r.Info(); i.Received != 1<<40 || i.Dropped != 7 || i.Ended != ended || len(i.Warnings) > 0 {
		t.Errorf("%+v", i)
	}
	theirs, err := pcapgo.NewNgReader(&out, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, _, err = theirs.ReadPacketData()
	}
	in, ierr := theirs.Interface(0)
	if err != io.EOF || ierr != nil || in.Statistics.PacketsReceived != 1<<40 || in.Statistics.PacketsDropped != 7 || in.Statistics.EndTime.UnixNano() != ended {
		t.Errorf("%v, %v, %+v", err, ierr, in.Statistics)
	}
	w = NewNgWriter(&empty, "tcplife")
	if err := w.Statistics(ended, 0, 0); err != nil || empty.Len() > 0 {
		t.Errorf("of no packets: %d octets, %v", empty.Len(), err)
	}
}
