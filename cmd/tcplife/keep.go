package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/spf13/cobra"

	"tcplife/decode/capture"
	"tcplife/decode/capture/live"
)

// keepFlags say which files keep the packets.
type keepFlags struct {
	name  string
	size  size
	every time.Duration
	files int
}

func (f *keepFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.name, "write", "w", "", "keep the packets in `FILE`, pcapng")
	fs.Var(&f.size, "write-size", "begin another file when this one has so many octets: 100M; the time of its beginning goes into each one's name")
	fs.DurationVar(&f.every, "write-every", 0, "begin another file after this time: 1h")
	fs.Lookup("write-size").DefValue = ""
	fs.IntVar(&f.files, "write-keep", 0, "remove the oldest of the files that were written, beyond `N`; 0: none")
}

func (f *keepFlags) check() error {
	switch rotating := f.size > 0 || f.every > 0; {
	case f.every < 0:
		return fmt.Errorf("--write-every %v: negative", f.every)
	case f.files < 0:
		return fmt.Errorf("--write-keep %d: negative", f.files)
	case rotating && f.name == "":
		return errors.New("--write-size and --write-every want --write FILE")
	case f.files > 0 && !rotating:
		return errors.New("--write-keep wants --write-size or --write-every: there is one file otherwise")
	}
	return nil
}

// rotates reports whether there will be more than one file.
func (f *keepFlags) rotates() bool { return f.size > 0 || f.every > 0 }

// A keeper writes packets to files.
type keeper struct {
	keepFlags
	source  string // what the packets are captured from
	filter  string
	snaplen int
	stats   func() live.Stats

	file    *os.File
	w       *pcapgo.NgWriter
	links   map[uint32]int // interface of the file, by link type
	begun   capture.Time
	written int64
	before  live.Stats // when the file was begun
	kept    []string
}

// Octets of an enhanced packet block beside the packet.
const packetBlock = 32

// packet writes a packet, to another file if it is time for one.
func (k *keeper) packet(p *capture.Packet) error {
	if k.w != nil && (k.size > 0 && k.written+int64(packetBlock+len(p.Data)) > int64(k.size) ||
		k.every > 0 && p.Time.Sub(k.begun) >= k.every) {
		if err := k.close(p.Time); err != nil {
			return err
		}
	}
	if k.w == nil {
		if err := k.open(p); err != nil {
			return err
		}
	}
	id, ok := k.links[p.LinkType]
	if !ok {
		var err error
		if id, err = k.w.AddInterface(k.describe(p.LinkType)); err != nil {
			return k.failed(err)
		}
		k.links[p.LinkType] = id
	}
	k.written += int64(packetBlock + (len(p.Data)+3)&^3)
	return k.failed(k.w.WritePacket(gopacket.CaptureInfo{
		Timestamp: p.Time.UTC(), CaptureLength: len(p.Data), Length: int(p.Length), InterfaceIndex: id,
	}, p.Data))
}

func (k *keeper) open(p *capture.Packet) (err error) {
	if k.rotates() {
		k.file, err = createDated(k.name, p.Time)
	} else {
		k.file, err = os.Create(k.name)
	}
	if err != nil {
		return fmt.Errorf("--write: %w", err)
	}
	k.kept = append(k.kept, k.file.Name())
	if k.files > 0 && len(k.kept) > k.files {
		if err := os.Remove(k.kept[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--write-keep: %w", err)
		}
		k.kept = k.kept[1:]
	}
	k.begun, k.written, k.before = p.Time, 0, k.stats()
	k.w, err = pcapgo.NewNgWriterInterface(k.file, k.describe(p.LinkType), pcapgo.NgWriterOptions{
		SectionInfo: pcapgo.NgSectionInfo{OS: runtime.GOOS, Application: "tcplife " + version()},
	})
	k.links = map[uint32]int{p.LinkType: 0}
	return k.failed(err)
}

func (k *keeper) describe(linkType uint32) pcapgo.NgInterface {
	return pcapgo.NgInterface{
		Name: k.source, Filter: k.filter, OS: runtime.GOOS,
		LinkType: layers.LinkType(linkType), TimestampResolution: 9, SnapLength: uint32(k.snaplen),
	}
}

// createDated creates a file that did not exist, with a time in its name.
func createDated(name string, t capture.Time) (*os.File, error) {
	ext := filepath.Ext(name)
	dated := strings.TrimSuffix(name, ext) + t.UTC().Format("-20060102T150405.000Z")
	for i := 1; ; i++ {
		try := dated + ext
		if i > 1 {
			try = fmt.Sprint(dated, "-", i, ext)
		}
		f, err := os.OpenFile(try, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

func (k *keeper) failed(err error) error {
	if err != nil {
		return fmt.Errorf("--write %s: %w", k.file.Name(), err)
	}
	return nil
}

// flush hands on what was written.
func (k *keeper) flush() error {
	if k.w == nil {
		return nil
	}
	return k.failed(k.w.Flush())
}

// close ends the present file, with the time until which it holds what passed, and
// what the kernel counted meanwhile.
func (k *keeper) close(end capture.Time) error {
	if k.w == nil {
		return nil
	}
	now := k.stats()
	err := k.w.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{
		LastUpdate: end.UTC(), EndTime: end.UTC(),
		PacketsReceived: now.Received - k.before.Received, PacketsDropped: now.Dropped - k.before.Dropped,
	})
	err = errors.Join(err, k.w.Flush(), k.file.Close())
	k.w = nil
	return k.failed(err)
}
