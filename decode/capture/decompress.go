package capture

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
)

// maxWindow bounds the history that a zstd or xz file may make its reader keep:
// what zstd --ultra -22 asks for, and twice what xz -9 does. Neither program's
// reader takes more unasked. The other formats have at most 16 MiB by design.
const maxWindow = 128 << 20

// manyWindow is the same for each of more than manyFiles files, of which up to
// maxOpen are open at a time: what zstd -19 and xz -6 ask for.
const manyWindow = 8 << 20

// compressedBuffer is how much of a compressed file one read(2) asks for.
const compressedBuffer = 128 << 10

// A codec undoes one way of compressing. The reader that open returns may read
// everything; concatenated files give the concatenation of what they hold.
type codec struct {
	name  string
	magic string
	open  func(r *bufio.Reader, window int) (io.Reader, error)
}

var codecs = []codec{
	{"gzip", "\x1f\x8b\x08", func(r *bufio.Reader, _ int) (io.Reader, error) { return gzip.NewReader(r) }},
	{"zstd", "\x28\xb5\x2f\xfd", func(r *bufio.Reader, window int) (io.Reader, error) {
		// Concurrency 1 decodes where it is asked, and needs no Close.
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)))
	}},
	{"xz", "\xfd7zX", func(r *bufio.Reader, window int) (io.Reader, error) { return xz.NewReader(r, uint32(window)) }},
	{"lz4", "\x04\x22\x4d\x18", openLZ4},
	{"lz4", "\x02\x21\x4c\x18", openLZ4}, // as lz4 -l and the Linux kernel write it
	{"bzip2", "BZh", func(r *bufio.Reader, _ int) (io.Reader, error) { return bzip2.NewReader(r), nil }},
}

func openLZ4(r *bufio.Reader, _ int) (io.Reader, error) { return lz4.NewReader(r), nil }

// codecOf returns the codec of a file that begins with b, nil if it has none.
func codecOf(b []byte) *codec {
	for i := range codecs {
		if c := &codecs[i]; bytes.HasPrefix(b, []byte(c.magic)) {
			return c
		}
	}
	return nil
}

// decompress puts a decompressor before the source, if it is compressed. What it
// holds is not looked at again: a compressed file in a compressed file is no
// capture.
func (r *Reader) decompress() error {
	for {
		if err := r.fill(4); err != nil {
			return nil // it is too short: start says so
		}
		b := r.buf[r.pos:r.end]
		if magic := binary.LittleEndian.Uint32(b); magic&^0xf != 0x184d2a50 {
			break
		}
		// Frames that zstd and lz4 both skip: parallel compressors begin with one.
		if err := r.fill(8); err != nil {
			return fmt.Errorf("file header: %w", err)
		}
		if err := r.skip(8 + int64(binary.LittleEndian.Uint32(r.buf[r.pos+4:]))); err != nil {
			return fmt.Errorf("file header: %w", err)
		}
	}
	c := codecOf(r.buf[r.pos:r.end])
	if c == nil {
		return nil
	}
	r.compression = c.name
	a := newAhead(&decompressor{codec: c, window: r.window, src: &unread{bytes.Clone(r.buf[r.pos:r.end]), r.src, r.srcErr}}, nil)
	r.aheads = append(r.aheads, a)
	r.src, r.srcErr = a, nil
	r.pos, r.end = 0, 0
	return nil
}

// unread is a source of which the beginning, and perhaps the end, was read.
type unread struct {
	head []byte
	src  io.Reader
	err  error // what ended src, nil if nothing did yet
}

func (u *unread) Read(b []byte) (int, error) {
	if len(u.head) > 0 {
		n := copy(b, u.head)
		u.head = u.head[n:]
		return n, nil
	}
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.src.Read(b)
	u.err = err
	return n, err
}

// A decompressor reads what a codec makes of src. Whatever the codec says, its
// error is io.ErrUnexpectedEOF if src ended too soon, that of src if reading
// failed, and otherwise names the codec.
type decompressor struct {
	codec  *codec
	window int
	src    *unread
	out    io.Reader // nil until the first Read
}

func (d *decompressor) Read(b []byte) (int, error) {
	if d.out == nil {
		out, err := d.codec.open(bufio.NewReaderSize(d.src, compressedBuffer), d.window)
		if err != nil {
			return 0, d.explain(err)
		}
		d.out = out
	}
	n, err := d.out.Read(b)
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, d.explain(err)
}

func (d *decompressor) explain(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if d.src.err != nil && d.src.err != io.EOF {
			return d.src.err
		}
		return io.ErrUnexpectedEOF
	case d.src.err != nil && errors.Is(err, d.src.err):
		return d.src.err
	case errors.Is(err, xz.ErrBuf) && d.src.err == io.EOF: // "truncated or corrupt"
		return io.ErrUnexpectedEOF
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, xz.ErrMemlimit):
		return fmt.Errorf("%s: it takes a window of more than %d MiB to read it", d.codec.name, d.window>>20)
	}
	if strings.HasPrefix(err.Error(), d.codec.name) {
		return err
	}
	return fmt.Errorf("%s: %w", d.codec.name, err)
}
