package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tcplife/decode/capture"
)

// sampleCaptures are captures with connections of every kind, whose times are
// told in microseconds.
var sampleCaptures = []string{"orphan-expires", "forged-reset", "ip-fragments", "ipv6", "time-wait-reuse", "syn-cookie"}

// readPackets returns the packets of a sample, with their times cut to
// microseconds, which every container can hold.
func readPackets(t testing.TB, name string) []capture.Packet {
	t.Helper()
	r, err := capture.Open(filepath.Join("../../testdata/pcaps", name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []capture.Packet
	var p capture.Packet
	for r.Next(&p) == nil {
		c := p
		c.Time -= c.Time % 1000
		c.Data = bytes.Clone(p.Data)
		all = append(all, c)
	}
	return all
}

type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// pcapFile returns packets as pcap, with extra octets in every record's header.
func pcapFile(o order, magic uint32, unit int64, extra int, packets []capture.Packet) []byte {
	b := o.AppendUint32(nil, magic)
	for _, v := range []uint16{2, 4, 0, 0, 0, 0} { // version, zone, accuracy
		b = o.AppendUint16(b, v)
	}
	b = o.AppendUint32(o.AppendUint32(b, 262144), packets[0].LinkType)
	for _, p := range packets {
		t := int64(p.Time)
		for _, v := range []uint32{uint32(t / 1e9), uint32(t % 1e9 / unit), uint32(len(p.Data)), p.Length} {
			b = o.AppendUint32(b, v)
		}
		b = append(append(b, make([]byte, extra)...), p.Data...)
	}
	return b
}

// pcapngFile returns packets as pcapng, with times in units of 10^-digits s.
func pcapngFile(o order, digits byte, packets []capture.Packet) []byte {
	block := func(b []byte, typ uint32, body []byte) []byte {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		n := uint32(len(body) + 12)
		b = append(o.AppendUint32(o.AppendUint32(b, typ), n), body...)
		return o.AppendUint32(b, n)
	}
	words := func(v ...uint32) (b []byte) {
		for _, v := range v {
			b = o.AppendUint32(b, v)
		}
		return b
	}
	b := block(nil, 0x0a0d0d0a, append(o.AppendUint16(o.AppendUint16(words(0x1a2b3c4d), 1), 0), words(^uint32(0), ^uint32(0))...))
	iface := append(o.AppendUint16(nil, uint16(packets[0].LinkType)), 0, 0)
	iface = append(iface, words(0)...)
	iface = append(o.AppendUint16(o.AppendUint16(iface, 9), 1), digits, 0, 0, 0) // if_tsresol
	b = block(b, 1, append(iface, 0, 0, 0, 0))
	for _, p := range packets {
		stamp := uint64(p.Time)
		for range 9 - digits {
			stamp /= 10
		}
		b = block(b, 6, append(words(0, uint32(stamp>>32), uint32(stamp), uint32(len(p.Data)), p.Length), p.Data...))
	}
	return b
}

// containersOf returns the packets in every file format.
func containersOf(packets []capture.Packet) map[string][]byte {
	files := map[string][]byte{}
	for name, o := range map[string]order{"little endian": binary.LittleEndian, "big endian": binary.BigEndian} {
		files["pcap µs "+name] = pcapFile(o, 0xa1b2c3d4, 1000, 0, packets)
		files["pcap ns "+name] = pcapFile(o, 0xa1b23c4d, 1, 0, packets)
		files["pcap modified "+name] = pcapFile(o, 0xa1b2cd34, 1000, 8, packets)
		files["pcapng µs "+name] = pcapngFile(o, 6, packets)
		files["pcapng ns "+name] = pcapngFile(o, 9, packets)
	}
	return files
}

// analysed returns what the program prints about files of these contents, one of
// which is read from each name.
func analysed(t testing.TB, dir string, args []string, files ...[]byte) string {
	t.Helper()
	for i, data := range files {
		name := filepath.Join(dir, fmt.Sprintf("%02d", i))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	var out, stderr bytes.Buffer
	if status := run(args, &out, &stderr); status != statusOK || stderr.Len() > 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	return strings.ReplaceAll(out.String(), dir, "")
}

var formatRE = regexp.MustCompile(`"format":"[^"]*","compression":"[^"]*"`)

// TestSameOutput: the same packets in every container, compressed in every way,
// give the same output, octet for octet, but for the container's name.
func TestSameOutput(t *testing.T) {
	dir := t.TempDir()
	for i, sample := range sampleCaptures {
		want := ""
		for name, file := range containersOf(readPackets(t, sample)) {
			variants := map[string][]byte{"": file}
			if i == 0 || strings.HasPrefix(name, "pcapng µs little") {
				for _, how := range compressors {
					variants[" in "+how] = compressed(t, how, file)
				}
			}
			for how, data := range variants {
				got := analysed(t, dir, []string{"-f", "jsonl"}, data)
				format, _, _ := strings.Cut(name, " ")
				if says := fmt.Sprintf(`"format":%q,"compression":%q`, format, strings.TrimPrefix(how, " in ")); !strings.Contains(got, says) {
					t.Errorf("%s as %s%s: no %s in\n%s", sample, name, how, says, got)
				}
				got = formatRE.ReplaceAllString(got, "")
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s as %s%s:\n%s\nwant:\n%s", sample, name, how, got, want)
				}
			}
		}
	}
}

// What differs between a capture and its parts: names, numbers, and the records of
// the files.
var partsRE = regexp.MustCompile(`(?m)"(capture|last_capture)":("[^"]*"|null),?|"packet_captures":\[[^]]*\],?|"(packet|first_packet|last_packet)":\d+|"packets":\[[^]]*\]|"tcp_stream":\d+,"display_filter":"[^"]*",|"captures":\d+|^\{"type":"capture".*\n`)

// TestRotated: a capture in parts, split before any packets, is the same
// observation as the whole. The parts may be named in any order.
func TestRotated(t *testing.T) {
	dir := t.TempDir()
	file := func(p []capture.Packet) []byte { return pcapFile(binary.LittleEndian, 0xa1b23c4d, 1, 0, p) }
	rapid.Check(t, func(rt *rapid.T) {
		sample := rapid.SampledFrom(sampleCaptures).Draw(rt, "sample")
		packets := readPackets(t, sample)
		if !slices.IsSortedFunc(packets, func(a, b capture.Packet) int { return int(a.Time - b.Time) }) {
			t.Fatalf("the clock of %s steps back", sample)
		}
		want := partsRE.ReplaceAllString(analysed(t, dir, []string{"-f", "jsonl"}, file(packets)), "")
		var parts [][]byte
		for rest := packets; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "split")
			for n < len(rest) && rest[n].Time == rest[n-1].Time {
				n++ // the order of parts decides otherwise
			}
			parts = append(parts, file(rest[:n]))
			rest = rest[n:]
		}
		parts = rapid.Permutation(parts).Draw(rt, "order")
		got := partsRE.ReplaceAllString(analysed(t, dir, []string{"-f", "jsonl"}, parts...), "")
		if got != want {
			rt.Errorf("%s in %d parts:\n%s\nwant:\n%s", sample, len(parts), got, want)
		}
	})
}

// TestRotatedFrames: the frames of parts lead to the same packets as those of the
// whole.
func TestRotatedFrames(t *testing.T) {
	dir := t.TempDir()
	packets := readPackets(t, "time-wait-reuse")
	ladder := func(files ...[]byte) string { return analysed(t, dir, []string{"explain", "-c", "1"}, files...) }
	file := func(p []capture.Packet) []byte { return pcapFile(binary.LittleEndian, 0xa1b23c4d, 1, 0, p) }
	whole := ladder(file(packets))
	for n := 1; n < len(packets); n++ {
		parts := ladder(file(packets[:n]), file(packets[n:]))
		got := regexp.MustCompile(`\b0[01]:\d+`).ReplaceAllStringFunc(parts, func(f string) string {
			var part, frame int
			if _, err := fmt.Sscanf(f, "%d:%d", &part, &frame); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(part*n + frame)
		})
		if got != whole {
			t.Fatalf("split before packet %d:\n%s\nwant:\n%s", n+1, got, whole)
		}
	}
}

// TestCompressedCut: a compressed capture, cut anywhere, gives what is before the
// cut and exactly one line on standard error. That it is so at every octet is
// TestCompressedCutAnywhere in decode/capture.
func TestCompressedCut(t *testing.T) {
	packets := readPackets(t, "forged-reset")
	file := pcapFile(binary.LittleEndian, 0xa1b23c4d, 1, 0, packets)
	name := filepath.Join(t.TempDir(), "cut")
	for _, how := range compressors {
		z := compressed(t, how, file)
		for n := 0; n < len(z); n += 13 {
			if err := os.WriteFile(name, z[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			status := run([]string{"-f", "csv", name}, io.Discard, &stderr)
			if line := stderr.String(); status != statusTrouble || strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, "tcplife: "+name+": ") {
				t.Fatalf("%s cut to %d octets: status %d, %q", how, n, status, line)
			}
		}
	}
}
