package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	source string // what the packets are captured from
	stats  func() live.Stats

	file    *os.File
	out     *bufio.Writer
	w       *capture.NgWriter // nil: there is no file
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
		if err := k.open(p.Time); err != nil {
			return err
		}
	}
	k.written += int64(packetBlock + (len(p.Data)+3)&^3)
	return k.failed(k.w.Write(p, k.source))
}

// open begins a file.
func (k *keeper) open(now capture.Time) (err error) {
	if k.rotates() {
		k.file, err = createDated(k.name, now)
	} else {
		k.file, err = os.Create(k.name)
	}
	if err != nil {
		return fmt.Errorf("--write: %w", err)
	}
	if k.files > 0 {
		k.kept = append(k.kept, k.file.Name())
	}
	if len(k.kept) > k.files {
		if err := os.Remove(k.kept[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--write-keep: %w", err)
		}
		k.kept = slices.Clone(k.kept[1:])
	}
	k.begun, k.written, k.before = now, 0, k.stats()
	k.out = bufio.NewWriterSize(k.file, 1<<16)
	k.w = capture.NewNgWriter(k.out, "tcplife "+version())
	return nil
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
	return k.failed(k.out.Flush())
}

// close ends the present file, with the time until which it holds what passed, and
// what the kernel counted meanwhile.
func (k *keeper) close(end capture.Time) error {
	if k.w == nil {
		return nil
	}
	now := k.stats()
	err := k.w.Statistics(end, now.Received-k.before.Received, now.Dropped-k.before.Dropped)
	err = errors.Join(err, k.w.Close(), k.out.Flush(), k.file.Close())
	k.w = nil
	return k.failed(err)
}
