package workload

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"tcplife/decode/capture"
)

// Merged is a workload of real traffic: the Ethernet frames of all captures in a
// directory, as if they had been captured at once, again and again with other
// addresses until there are enough.
type Merged struct {
	Name string
	Dir  string
	Size int64 // octets of the file, about
	Seed uint64
}

// Limits of what one file gives, so that no large one outweighs the others.
const (
	mergedSpan   = 600e9 // nanoseconds
	mergedOctets = 8 << 20
	mergedWithin = 300 // seconds in which the files begin
	mergedCopies = 256 // an octet of the address tells them apart
)

// File returns the name of the workload's capture.
func (m Merged) File() string { return m.Name + ".pcap" }

// A recorded frame of one copy; at is in nanoseconds since it began.
type recorded struct {
	at    int64
	frame []byte
}

// Write makes the capture. It takes about Size octets of memory at most. Files
// that are no captures are left out, damaged ones read as far as they go.
func (m Merged) Write(to io.Writer) (Truth, error) {
	var all []recorded
	r, octets := random(m.Seed), int64(0)
	err := filepath.WalkDir(m.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || octets >= m.Size {
			return err
		}
		begin := int64(r.below(mergedWithin * 1e9))
		for _, p := range recording(path) {
			p.at += begin
			octets += int64(len(p.frame))
			all = append(all, p)
		}
		return nil
	})
	if err != nil {
		return Truth{}, err
	}
	if len(all) == 0 {
		return Truth{}, errors.New(m.Dir + ": holds no capture of Ethernet frames")
	}
	slices.SortStableFunc(all, func(a, b recorded) int { return cmp.Compare(a.at, b.at) })

	out, err := newWriter(to, false)
	if err != nil {
		return Truth{}, err
	}
	var t Truth
	span := all[len(all)-1].at + 1e9
	for n := range mergedCopies {
		for _, p := range all {
			if out.size() >= m.Size || out.err != nil {
				break
			}
			readdress(p.frame, byte(n^(n-1))) // from the copy before
			out.packet(start+int64(n)*span+p.at, p.frame)
			t.Packets++
		}
	}
	t.Bytes, err = out.close()
	return t, err
}

// recording returns the Ethernet frames of a capture, from its first one on.
func recording(path string) (all []recorded) {
	c, err := capture.Open(path)
	if err != nil {
		return nil
	}
	defer c.Close()
	var p capture.Packet
	var first, last, octets int64
	for c.Next(&p) == nil {
		at := int64(p.Time)
		if len(all) == 0 {
			first, last = at, at
		}
		last = max(last, at) // its time never runs back
		octets += int64(len(p.Data))
		if last-first > mergedSpan || octets > mergedOctets {
			break
		}
		if p.LinkType == 1 && len(p.Data) <= snapLength {
			all = append(all, recorded{last - first, slices.Clone(p.Data)})
		}
	}
	return all
}

// readdress moves the frame's outer IP addresses to another network: it flips the
// bits of mask in an octet of both, and mends the checksums (RFC 1624 §3). One that
// the sender's network card was to finish becomes wrong: it is not inverted yet.
func readdress(f []byte, mask byte) {
	if len(f) < ethernet {
		return
	}
	kind, ip := be.Uint16(f[12:]), f[ethernet:]
	for (kind == 0x8100 || kind == 0x88a8) && len(ip) >= 4 {
		kind, ip = be.Uint16(ip[2:]), ip[4:]
	}
	var octets [2]int // of the addresses, the second of a word each
	var protocol byte
	var payload []byte
	switch {
	case kind == 0x0800 && len(ip) >= 20 && ip[0]>>4 == 4:
		octets, protocol = [2]int{13, 17}, ip[9]
		if n := int(ip[0]&15) * 4; n >= 20 && n < len(ip) && be.Uint16(ip[6:])&0x1fff == 0 {
			payload = ip[n:]
		}
	case kind == 0x86dd && len(ip) >= 40:
		octets, protocol, payload = [2]int{13, 29}, ip[6], ip[40:]
	default:
		return
	}
	for _, i := range octets {
		ip[i] ^= mask
		old, now := uint16(ip[i]^mask), uint16(ip[i])
		if kind == 0x0800 {
			mend(ip[10:12], old, now)
		}
		switch {
		case protocol == 6 && len(payload) >= 18:
			mend(payload[16:18], old, now)
		case protocol == 17 && len(payload) >= 8 && be.Uint16(payload[6:]) != 0:
			mend(payload[6:8], old, now)
		}
	}
}

// mend makes up in a checksum for a word that changed.
func mend(sum []byte, old, now uint16) {
	be.PutUint16(sum, ^fold(uint64(^be.Uint16(sum))+uint64(^old)+uint64(now)))
}
