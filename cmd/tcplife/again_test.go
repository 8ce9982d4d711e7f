package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tcplife/decode/capture"
)

// packetsOf returns the packets of a file as far as they can be read, and how it ends.
func packetsOf(t *testing.T, name string) (all []capture.Packet, err error) {
	t.Helper()
	r, err := capture.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		var p capture.Packet
		if err := r.Next(&p); err != nil {
			return all, err
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

// fuzzFileMax bounds the captures that FuzzAgain takes, which its runs write to files.
const fuzzFileMax = 1 << 16

// FuzzAgain lets pcapng and explain --pcap read any file a second time: what they
// write is intact, whatever the input is; annotated are all of its packets, in their
// order, and a connection's are some of them.
func FuzzAgain(f *testing.F) {
	for _, sample := range []string{"ip-fragments", "icmp-unreachable", "vlan", "close-wait-stuck"} {
		file, err := os.ReadFile(filepath.Join("../../testdata/pcaps", sample+".pcap"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		f.Add(file[:len(file)-3])
	}
	var all []capture.Packet
	for _, sample := range []string{"ip-fragments", "ipv6"} {
		all = append(all, readPackets(f, sample)...)
	}
	for _, o := range []order{binary.LittleEndian, binary.BigEndian} {
		file := pcapngFile(o, 9, all)
		f.Add(slices.Concat(file, pcapngFile(o, 6, all[:2]))) // two sections
		f.Add(file[:len(file)/2])
	}
	for _, how := range compressors {
		f.Add(compressed(f, how, pcapngFile(binary.LittleEndian, 9, all)))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > fuzzFileMax {
			t.Skip()
		}
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out.pcapng")
		if err := os.WriteFile(in, file, 0o600); err != nil {
			t.Fatal(err)
		}
		want, _ := packetsOf(t, in)
		if len(want) > 2000 {
			t.Skip()
		}
		status := run([]string{"-f", "pcapng", "-o", out, in}, io.Discard, io.Discard)
		if _, err := os.Stat(out); err != nil {
			if status == statusOK {
				t.Fatal("status 0, and there is no file")
			}
			return // no capture
		}
		got, err := packetsOf(t, out)
		if !errors.Is(err, io.EOF) || len(got) != len(want) {
			t.Fatalf("%d packets of %d, then %v", len(got), len(want), err)
		}
		for i := range got {
			if !samePacket(&got[i], &want[i]) {
				t.Fatalf("packet %d: %+v, want %+v", i+1, got[i], want[i])
			}
		}
		if run([]string{"explain", in, "-c", "1", "--pcap", filepath.Join(dir, "one.pcapng")}, io.Discard, io.Discard) != statusOK {
			return
		}
		one, err := packetsOf(t, filepath.Join(dir, "one.pcapng"))
		if !errors.Is(err, io.EOF) || len(one) == 0 {
			t.Fatalf("%d packets of a connection, then %v", len(one), err)
		}
		for i := range one {
			n := slices.IndexFunc(want, func(p capture.Packet) bool { return samePacket(&one[i], &p) })
			if n < 0 {
				t.Fatalf("packet %d of the connection is not in the input: %+v", i+1, one[i])
			}
			want = want[n+1:]
		}
	})
}

// samePacket reports whether a packet was written as p was.
func samePacket(got, p *capture.Packet) bool {
	return got.Time == max(p.Time, 0) && got.LinkType == p.LinkType&0xffff && got.Length == max(p.Length, uint32(len(p.Data))) && bytes.Equal(got.Data, p.Data)
}
