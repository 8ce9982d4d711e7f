package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dsnet/compress/bzip2"
	"github.com/google/gopacket/pcapgo"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/ulikunitz/xz"

	"tcplife/internal/script"
)

// makePcap is "pcap IN.tcp OUT.pcap": it makes a capture of connection scripts.
func makePcap(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pcap in.tcp out.pcap")
	}
	scripts, err := script.Parse(ts.ReadFile(args[0]))
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(script.WritePcap(f, 305419896, 2596069104, scripts...))
	ts.Check(f.Close())
}

// splitPcap is "split IN.pcap N FIRST.pcap REST.pcap": it writes the first N
// packets to one file, and the others to another.
func splitPcap(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: split in.pcap n first.pcap rest.pcap")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	in, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer in.Close()
	r, err := pcapgo.NewReader(in)
	ts.Check(err)
	for i, name := range args[2:] {
		name = ts.MkAbs(name)
		ts.Check(os.MkdirAll(filepath.Dir(name), 0o755))
		out, err := os.Create(name)
		ts.Check(err)
		w := pcapgo.NewWriterNanos(out)
		ts.Check(w.WriteFileHeader(r.Snaplen(), r.LinkType()))
		for ; i == 1 || n > 0; n-- {
			data, info, err := r.ReadPacketData()
			if err == io.EOF {
				break
			}
			ts.Check(err)
			ts.Check(w.WritePacket(info, data))
		}
		ts.Check(out.Close())
	}
}

// compressors are what compressed knows.
var compressors = []string{"gzip", "zstd", "xz", "lz4", "bzip2"}

func compressed(t interface{ Fatal(...any) }, how string, data []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch how {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "lz4":
		w = lz4.NewWriter(&b)
	case "bzip2":
		w, err = bzip2.NewWriter(&b, nil)
	default:
		t.Fatal("cannot compress by " + how)
	}
	if err == nil {
		_, err = w.Write(data)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// compress is "compress HOW IN OUT".
func compress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: compress how in out")
	}
	z := compressed(fatal{ts}, args[0], []byte(ts.ReadFile(args[1])))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), z, 0o644))
}

type fatal struct{ ts *testscript.TestScript }

func (f fatal) Fatal(what ...any) { f.ts.Fatalf("%s", fmt.Sprint(what...)) }

// appendPart is "append IN FROM TO OUT": it appends these octets of a file to
// another.
func appendPart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: append in from to out")
	}
	data := ts.ReadFile(args[0])
	from, err := strconv.Atoi(args[1])
	ts.Check(err)
	to, err := strconv.Atoi(args[2])
	ts.Check(err)
	out, err := os.OpenFile(ts.MkAbs(args[3]), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	ts.Check(err)
	_, err = io.WriteString(out, data[min(from, len(data)):min(to, len(data))])
	ts.Check(errors.Join(err, out.Close()))
}

// await is "await FILE PATTERN": it waits until the file, which may not exist yet,
// matches the pattern.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await file pattern")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	name := ts.MkAbs(args[0])
	for range 200 {
		if text, err := os.ReadFile(name); err == nil && re.Match(text) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(name)
	ts.Fatalf("await: %s does not match %s:\n%s", args[0], args[1], text)
}

// status is "status N ARGS...": it runs tcplife and wants that exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: status n [argument...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("tcplife", args[1:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// condition tells what the machine has. [capture]: a network of our own, in which we
// may capture; the script then runs commands in it by "unshare -rn sh -c".
func condition(name string) (bool, error) {
	if name != "capture" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return exec.Command("unshare", "-rn", "ip", "link", "set", "lo", "up").Run() == nil, nil
}

// goCache returns where go keeps what it has built, so that scripts don't build it
// again.
func goCache() string {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
