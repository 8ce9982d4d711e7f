package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcplife/decode/capture/live"
)

// network puts the test into a network namespace of its own, which ends with it,
// and runs ip there, a command a line. The programs need to be there.
func network(t *testing.T, programs []string, commands ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	for _, p := range append(programs, "ip") {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s", p)
		}
	}
	t.Parallel()
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("a network namespace: %v", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader("link set lo up\n" + strings.Join(commands, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip: %v: %s", err, out)
	}
}

// A running is a program that the test has started. What it writes is collected.
type running struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err *os.File
}

// begin starts a program in the test's network, in its directory. tcplife is this
// one.
func begin(t *testing.T, dir, name string, args ...string) *running {
	t.Helper()
	if name == "tcplife" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		name = filepath.Join(dir, "tcplife") // by which TestMain knows what to do
		if err := os.Symlink(self, name); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	r := &running{t: t, cmd: exec.Command(name, args...)}
	var err error
	if r.out, err = os.CreateTemp(dir, "out"); err == nil {
		r.err, err = os.CreateTemp(dir, "err")
	}
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = dir, r.out, r.err
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill(); r.cmd.Wait() })
	return r
}

func (r *running) text(f *os.File) string {
	b, err := os.ReadFile(f.Name())
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// await waits until what the program wrote to f has the pattern, and returns the
// first match.
func (r *running) await(f *os.File, pattern string) string {
	r.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	for range 400 {
		if found := re.FindString(r.text(f)); found != "" {
			return found
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Fatalf("%v: nothing like %s in\n%s\nstderr: %s", r.cmd.Args, pattern, r.text(f), r.text(r.err))
	return ""
}

// end ends the program by a signal, and returns what it has written.
func (r *running) end(sig os.Signal) string {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		r.t.Fatalf("%v: %v\n%s", r.cmd.Args, err, r.text(r.err))
	}
	return r.text(r.out)
}

// A web is a server of this test's network, and its clients, who are here: sockets
// are of the network of the thread that makes them.
type web struct {
	t    *testing.T
	addr string
	ln   net.Listener
	open []net.Conn
}

func newWeb(t *testing.T) *web {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			w.Write(make([]byte, 300_000))
		case "/abort":
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		case "/leak":
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
		default:
			fmt.Fprintln(w, "hello")
		}
	})}
	go server.Serve(ln)
	w := &web{t: t, addr: ln.Addr().String(), ln: ln}
	t.Cleanup(func() {
		server.Close()
		for _, c := range w.open {
			c.Close()
		}
	})
	return w
}

func (w *web) dial() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.open = append(w.open, c)
	return c
}

// get asks for a path, and returns the connection after the answer, if there is
// one.
func (w *web) get(path string) net.Conn {
	w.t.Helper()
	c := w.dial()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path)
	if path == "/leak" {
		return c
	}
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		io.Copy(io.Discard, resp.Body)
	}
	return c
}

// records returns the lines of the given type, with one name for all captures.
func records(typ, lines string) (out []string) {
	name := regexp.MustCompile(`"capture":"[^"]*"`)
	for line := range strings.Lines(lines) {
		if strings.HasPrefix(line, `{"type":"`+typ+`"`) {
			out = append(out, name.ReplaceAllString(line, `"capture":""`))
		}
	}
	return out
}

// TestLiveEqualsFile: what live tells of connections is byte for byte what is told
// of the file that tcpdump wrote beside it, and of its own.
func TestLiveEqualsFile(t *testing.T) {
	network(t, []string{"tcpdump"})
	dir := t.TempDir()
	tcpdump := begin(t, dir, "tcpdump", "-i", "lo", "--nano", "--immediate-mode", "-s", fmt.Sprint(live.DefaultSnaplen), "-w", "tcpdump.pcap", "tcp or icmp")
	tcpdump.await(tcpdump.err, "listening on")
	tcplife := begin(t, dir, "tcplife", "live", "-i", "lo", "-w", "kept.pcapng", "tcp or icmp")
	capturing(t, 2)
	w := newWeb(t)
	for range 20 {
		w.get("/").Close()
		w.get("/large").Close()
		w.get("/abort").Close()
		c := w.get("/")
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	for range 3 {
		w.get("/leak").Close()
		w.get("/").(*net.TCPConn).CloseWrite()
		if _, err := net.Dial("tcp", "127.0.0.1:9"); err == nil {
			t.Fatal("port 9 is open")
		}
	}
	w.get("/")
	last := w.dial().LocalAddr().(*net.TCPAddr).Port
	tcplife.await(tcplife.out, fmt.Sprintf(`"type":"transition".*"client":{"addr":"127.0.0.1","port":%d}.*"to":"ESTABLISHED"`, last))
	lines := tcplife.end(os.Interrupt)
	time.Sleep(500 * time.Millisecond) // tcpdump writes what it has when it ends, but not what the kernel has
	tcpdump.end(os.Interrupt)
	if got := tcplife.text(tcplife.err); got != "" {
		t.Errorf("stderr: %s", got)
	}
	told := records("connection", lines)
	if len(told) < 90 {
		t.Errorf("%d connections were told", len(told))
	}
	if n := len(records("transition", lines)); n < 6*len(told) {
		t.Errorf("%d transitions of %d connections were told", n, len(told))
	}
	kept := begin(t, dir, "tcplife", "-f", "jsonl", "kept.pcapng")
	kept.cmd.Wait()
	equalLines(t, "the file of its own", told, records("connection", kept.text(kept.out)))

	// tcpdump was there before, and read the clock itself.
	theirs := begin(t, dir, "tcplife", "-f", "jsonl", "tcpdump.pcap")
	theirs.cmd.Wait()
	equalLines(t, "tcpdump's file", untimed(told), untimed(records("connection", theirs.text(theirs.out))))
}

// untimed leaves out times, and what counts packets from the beginning of a capture.
func untimed(lines []string) (out []string) {
	re := regexp.MustCompile(`"\d{4}-[^"]*Z"|"(duration|handshake_time|idle)":[\d.e-]+|"(packet|first_packet|last_packet)":\d+|"packets":\[[\d,]*\]|[\d.]+[mµn]?s\b`)
	for _, l := range lines {
		out = append(out, re.ReplaceAllString(l, "#"))
	}
	return out
}

// capturing waits until so many programs capture from the test's network.
func capturing(t *testing.T, programs int) {
	t.Helper()
	all := regexp.MustCompile(`(?m)^\S+ +\d+ +3 +0003 +\d+ +1 `) // bound sockets for every protocol
	for range 400 {
		if len(all.FindAllString(readFile(t, "/proc/thread-self/net/packet"), -1)) >= programs {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("nobody captures: ", readFile(t, "/proc/thread-self/net/packet"))
}

func equalLines(t *testing.T, what string, live, file []string) {
	t.Helper()
	if len(live) != len(file) {
		t.Errorf("%d connections live, %d in %s", len(live), len(file), what)
	}
	for i := range min(len(live), len(file)) {
		if live[i] != file[i] {
			t.Fatalf("live, and of %s:\n%s%s", what, live[i], file[i])
		}
	}
}

// TestLiveOnTime: what nobody sends is told by the clock, on a link that is silent.
func TestLiveOnTime(t *testing.T) {
	network(t, nil)
	dir := t.TempDir()
	tcplife := begin(t, dir, "tcplife", "live", "-i", "lo", "--set", "close-wait.after=2s", "--time-wait", "3s", "--events", "findings,connections", "tcp")
	w := newWeb(t)
	capturing(t, 1)
	w.get("/").Close()
	w.get("/leak").Close()
	tcplife.await(tcplife.out, `"type":"finding".*"rule":"close-wait"`)
	tcplife.await(tcplife.out, `"type":"connection".*"end_reason":"time-wait-over"`)
	lines := tcplife.end(syscall.SIGTERM)
	if n := len(records("finding", lines)); n != 1 {
		t.Errorf("told %d times:\n%s", n, lines)
	}
	if n := len(records("summary", lines)); n != 1 {
		t.Errorf("%d summaries", n)
	}
	if n := len(records("transition", lines)); n != 0 {
		t.Errorf("%d transitions, which were not asked for", n)
	}
}

// TestLiveSnapshot holds the socket tables to the kernel's own.
func TestLiveSnapshot(t *testing.T) {
	network(t, []string{"ss"})
	dir := t.TempDir()
	tcplife := begin(t, dir, "tcplife", "live", "-i", "lo", "--snapshot", "sockets")
	w := newWeb(t)
	capturing(t, 1)
	w.get("/")
	w.get("/").(*net.TCPConn).CloseWrite() // the server closes
	w.get("/leak").(*net.TCPConn).CloseWrite()
	w.get("/leak")
	time.Sleep(500 * time.Millisecond)
	ss := begin(t, dir, "ss", "-tan")
	ss.cmd.Wait()
	var want []string
	for line := range strings.Lines(ss.text(ss.out)) {
		if f := strings.Fields(line); f[0] != "State" && f[0] != "LISTEN" {
			want = append(want, f[0]+" "+f[2]+" "+f[3]+" "+f[4])
		}
	}
	if err := tcplife.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 100 {
		if b, err := os.ReadFile(filepath.Join(dir, "sockets")); err == nil {
			for line := range strings.Lines(string(b)) {
				if f := strings.Fields(line); f[0] != "State" {
					got = append(got, strings.TrimSuffix(f[0], "?")+" "+f[2]+" "+f[3]+" "+f[4])
				}
			}
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 6 || !slices.Equal(got, want) {
		t.Errorf("got\n%s\nss has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	tcplife.end(os.Interrupt)
}

// TestLiveRotates: files begin one after the other, the oldest go, and what is left
// is read as one.
func TestLiveRotates(t *testing.T) {
	network(t, nil)
	dir := t.TempDir()
	tcplife := begin(t, dir, "tcplife", "live", "-i", "lo", "-w", "kept.pcapng", "--write-size", "1M", "--write-keep", "2", "-s", "65536", "-f", "summary", "--for", "4s", "tcp")
	w := newWeb(t)
	capturing(t, 1)
	for range 12 {
		w.get("/large").Close()
	}
	if err := tcplife.cmd.Wait(); err != nil {
		t.Fatal(err, tcplife.text(tcplife.err))
	}
	files, err := filepath.Glob(filepath.Join(dir, "kept-*Z*.pcapng"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for i, name := range files {
		fi, err := os.Stat(name)
		if err != nil || fi.Size() > 1<<20+4096 || i == 0 && fi.Size() < 800_000 {
			t.Error(fi.Size(), err)
		}
	}
	read := begin(t, dir, "tcplife", append([]string{"-f", "summary"}, files...)...)
	if err := read.cmd.Wait(); err != nil {
		t.Error(err, read.text(read.err))
	}
}

// raced says that the race detector is on: everything takes ten times as long, and
// several times the memory.
var raced bool

// TestLiveFlood: 200,000 SYNs with a source each neither lose what is known of the
// honest connections nor pass the memory limit.
func TestLiveFlood(t *testing.T) {
	sources := 200_000
	if raced {
		sources = 20_000
	}
	network(t, nil, "link add p0 type veth peer name p1", "link set p0 up", "link set p1 up",
		"addr add 192.0.2.1/24 dev p0", "route add default via 192.0.2.2", "neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev p0")
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tcplife := begin(t, dir, "tcplife", "live", "--memory-limit", "32M", "-f", "jsonl", "--events", "connections", "-i", "lo,p0", "tcp")
	w := newWeb(t)
	victim, err := net.Listen("tcp", "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	capturing(t, 1)
	var honest []string
	for range 10 {
		c := w.get("/")
		honest = append(honest, fmt.Sprint(c.LocalAddr().(*net.TCPAddr).Port))
	}
	peer, err := net.InterfaceByName("p1")
	if err != nil {
		t.Fatal(err)
	}
	us, err := net.InterfaceByName("p0")
	if err != nil {
		t.Fatal(err)
	}
	flood(t, peer.Index, us.HardwareAddr, sources, func() {
		for _, c := range w.open { // they go on, as connections do that are alive
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: test\r\n\r\n")
		}
	})
	for _, c := range w.open {
		c.(*net.TCPConn).CloseWrite()
	}
	for _, c := range w.open {
		io.Copy(io.Discard, c) // until the server closes
	}
	time.Sleep(time.Second)
	var peak string
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/status", tcplife.cmd.Process.Pid))) {
		if strings.HasPrefix(line, "VmHWM") {
			peak = line
		}
	}
	lines := tcplife.end(os.Interrupt)
	whole, evicted := 0, 0
	for _, l := range records("connection", lines) {
		if strings.Contains(l, `"end_reason":"evicted"`) {
			evicted++
		}
		for _, port := range honest {
			if strings.Contains(l, `"client":{"addr":"127.0.0.1","port":`+port+`,`) && strings.Contains(l, `"handshake":"complete"`) &&
				strings.Contains(l, `"teardown":"fin"`) && strings.Contains(l, `"midstream":false`) {
				whole++
			}
		}
	}
	n := len(records("connection", lines))
	t.Logf("%d connections, %d evicted; %s", n, evicted, strings.TrimSpace(peak))
	if whole != len(honest) {
		t.Errorf("of %d honest connections, %d were told whole", len(honest), whole)
	}
	if n < sources*9/10 {
		t.Errorf("%d connections were told, of %d", n, sources)
	}
	var kb int
	fmt.Sscanf(peak, "VmHWM: %d kB", &kb)
	const besides = 160 << 10 // the program, the ring of 64 MB, the report's own tables
	if kb == 0 || kb > 32<<10+besides && !raced {
		t.Errorf("%s: more than the limit of 32 MB, and what else there is", peak)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// flood sends SYNs from as many sources to 192.0.2.1:80, by an interface whose peer
// has the given address. Every so often it calls meanwhile.
func flood(t *testing.T, index int, to net.HardwareAddr, sources int, meanwhile func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	b := make([]byte, 54)
	copy(b, to)
	copy(b[6:], []byte{2, 0, 0, 0, 0, 2, 8, 0})
	ip, tcp := b[14:34], b[34:]
	copy(ip, []byte{0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1})
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12], tcp[13] = 5<<4, 2
	binary.BigEndian.PutUint16(tcp[14:], 64240)
	to4 := unix.SockaddrLinklayer{Ifindex: index}
	for i := range sources {
		binary.BigEndian.PutUint32(ip[12:], 11<<24|uint32(i))
		binary.BigEndian.PutUint16(tcp[0:], uint16(1024+rand.IntN(60000)))
		binary.BigEndian.PutUint32(tcp[4:], rand.Uint32())
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], sum(ip))
		binary.BigEndian.PutUint16(tcp[16:], 0)
		pseudo := append(slices.Clone(ip[12:20]), 0, 6, 0, 20)
		binary.BigEndian.PutUint16(tcp[16:], sum(append(pseudo, tcp...)))
		for {
			err := unix.Sendto(fd, b, 0, &to4)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.ENOBUFS) { // the machine is busy
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if i%10_000 == 0 {
			meanwhile()
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// sum is the Internet checksum (RFC 1071).
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// TestLiveWriteRefused: a file that can't be written is told at once, and a capture
// of no packets is a file all the same.
func TestLiveWriteRefused(t *testing.T) {
	network(t, nil)
	dir := t.TempDir()
	tcplife := begin(t, dir, "tcplife", "live", "-i", "lo", "-f", "summary", "-w", "nosuch/kept.pcapng")
	if err := tcplife.cmd.Wait(); err == nil || tcplife.text(tcplife.err) != "tcplife: --write: open nosuch/kept.pcapng: no such file or directory\n" {
		t.Errorf("%v: %s", err, tcplife.text(tcplife.err))
	}
	tcplife = begin(t, dir, "tcplife", "live", "-i", "lo", "-f", "summary", "-w", "kept.pcapng", "--for", "100ms")
	if err := tcplife.cmd.Wait(); err != nil {
		t.Error(err, tcplife.text(tcplife.err))
	}
	read := begin(t, dir, "tcplife", "-f", "summary", "kept.pcapng")
	if err := read.cmd.Wait(); err != nil || !strings.Contains(read.text(read.out), "0 packets") {
		t.Error(err, read.text(read.err), read.text(read.out))
	}
}

// TestLiveNoRight: who may not capture is told how to.
func TestLiveNoRight(t *testing.T) {
	network(t, []string{"capsh"})
	dir := t.TempDir()
	tcplife := begin(t, dir, "tcplife", "rules") // for the name
	tcplife.cmd.Wait()
	var stderr bytes.Buffer
	cmd := exec.Command("capsh", "--drop=cap_net_raw", "--", "-c", filepath.Join(dir, "tcplife")+" live -i lo")
	cmd.Stderr = &stderr
	err := cmd.Run()
	want := regexp.MustCompile(`^tcplife: no right to capture: run as root, or grant it once by: sudo setcap cap_net_raw=ep /\S+ \(operation not permitted\)\n$`)
	if err == nil || !want.MatchString(stderr.String()) {
		t.Errorf("%v: %s", err, stderr.String())
	}
}

// TestLivePolicy: what breaks the policy is told while the connection lasts, a policy
// that is read again holds for it too, and one that is wrong changes nothing.
func TestLivePolicy(t *testing.T) {
	network(t, nil)
	dir := t.TempDir()
	is := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte("version: 1\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is("set: {close-wait.after: 1h}\nexpect: [{name: orders, where: {port: 5432}}]\n")
	tcplife := begin(t, dir, "tcplife", "live", "-i", "lo", "--policy", "policy.yaml", "--events", "findings")
	capturing(t, 1)
	newWeb(t).get("/leak").Close()
	hangup := func(want string) {
		t.Helper()
		if err := tcplife.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		tcplife.await(tcplife.err, want)
	}
	time.Sleep(2200 * time.Millisecond)
	if got := tcplife.text(tcplife.err) + tcplife.text(tcplife.out); got != "" {
		t.Errorf("told before anything is wrong: %s", got)
	}
	is("set: {close-wait.after: 1s}\nrules: {close-wait: tell}\n")
	hangup(`^tcplife: the policy was read again: policy.yaml$`)
	tcplife.await(tcplife.out, `"rule":"close-wait"`)
	is("rule: {close-wait: fail}\nset: {close-wait.before: 2s}\n")
	hangup(`^tcplife: the policy is as it was: policy.yaml:2:1: .* \(and 1 more\)$`)
	is("set: {close-wait.after: 1s}\nrules: {close-wait: fail}\nexpect: [{name: orders, where: {port: 5432}}]\n")
	hangup(`^tcplife: policy broken: rule close-wait: 1 finding, none is allowed; #1 127.0.0.1:\d+ to 127.0.0.1:\d+: server in CLOSE_WAIT.*; suspect: server-app$`)
	if err := tcplife.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	tcplife.cmd.Wait()
	if got := tcplife.cmd.ProcessState.ExitCode(); got != statusBroken {
		t.Errorf("exit status %d, want %d: %s", got, statusBroken, tcplife.text(tcplife.err))
	}
	for told, want := range map[string]int{"policy broken: rule close-wait": 1, "policy broken: expect orders: 0 connections": 1, "policy": 5} {
		if n := strings.Count(tcplife.text(tcplife.err), "tcplife: "+told) + strings.Count(tcplife.text(tcplife.err), "tcplife: the "+told); n != want {
			t.Errorf("%q was told %d times, want %d:\n%s", told, n, want, tcplife.text(tcplife.err))
		}
	}
	if n := len(records("finding", tcplife.text(tcplife.out))); n != 1 {
		t.Errorf("the finding was told %d times", n)
	}
}

// TestLiveTerminalGone: a terminal that is gone ends the screen, also where SIGHUP has
// the policy read again.
func TestLiveTerminalGone(t *testing.T) {
	network(t, nil)
	master, slave := openTerminal(t, 80)
	dir := t.TempDir()
	begin(t, dir, "tcplife", "rules").cmd.Wait() // for the name
	cmd := exec.Command(filepath.Join(dir, "tcplife"), "live", "-i", "lo", "--policy", "default")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	go io.Copy(io.Discard, master)
	capturing(t, 1)
	time.Sleep(500 * time.Millisecond) // the screen
	slave.Close()
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { cmd.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Error("it goes on without its terminal")
	}
}

// TestLiveMetrics has a real Prometheus scrape the metrics, and asks it for them.
func TestLiveMetrics(t *testing.T) {
	network(t, []string{"prometheus"})
	dir := t.TempDir()
	tcplife := begin(t, dir, "tcplife", "live", "-i", "lo", "--metrics", ":9273", "-f", "summary", "--set", "close-wait.after=1s", "port not 9273 and port not 9090")
	config := "global: {scrape_interval: 500ms}\nscrape_configs:\n- job_name: tcplife\n  static_configs: [{targets: ['127.0.0.1:9273']}]\n"
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	prometheus := begin(t, dir, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:9090")
	prometheus.await(prometheus.err, "Server is ready")
	capturing(t, 1)
	ask := func(port int, path string) string {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path)
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	w := newWeb(t)
	w.get("/").Close()
	w.get("/leak").Close()
	for path, want := range map[string]string{
		"/api/v1/query?query=tcplife_ends{role=\"server\",state=\"CLOSE_WAIT\"}": `"1"\]`,
		"/api/v1/query?query=tcplife_time_wait_ends{host=\"127.0.0.1\"}":         `"1"\]`,
		"/api/v1/query?query=tcplife_findings_total{rule=\"close-wait\"}":        `"1"\]`,
		"/api/v1/query?query=tcplife_dropped_packets_total":                      `"0"\]`,
		"/api/v1/query?query=up": `"1"\]`,
	} {
		re, got := regexp.MustCompile(want), ""
		for range 100 {
			if got = ask(9090, path); re.MatchString(got) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if !re.MatchString(got) {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := ask(9273, "/healthz"); !strings.HasPrefix(got, "HTTP/1.0 200") || !strings.HasSuffix(got, "\r\n\r\nok\n") {
		t.Errorf("/healthz: %s", got)
	}
	tcplife.end(os.Interrupt)
}

// TestLiveScreen: the screen appears on a terminal, and whatever ends it, the
// terminal is as it was and the totals are there.
func TestLiveScreen(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(terminal io.Writer, p *os.Process)
	}{
		{"q", func(terminal io.Writer, _ *os.Process) { io.WriteString(terminal, "q") }},
		{"ctrl-c", func(terminal io.Writer, _ *os.Process) { io.WriteString(terminal, "\x03") }},
		{"SIGTERM", func(_ io.Writer, p *os.Process) { p.Signal(syscall.SIGTERM) }},
		{"SIGINT", func(_ io.Writer, p *os.Process) { p.Signal(syscall.SIGINT) }},
		{"SIGHUP", func(_ io.Writer, p *os.Process) { p.Signal(syscall.SIGHUP) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "SIGHUP" && signal.Ignored(syscall.SIGHUP) {
				t.Skip("run by nohup, under which it ends nothing")
			}
			network(t, nil)
			master, slave := openTerminal(t, 80)
			before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var screen bytes.Buffer
			go func() {
				b := make([]byte, 4096)
				for {
					n, err := master.Read(b)
					mu.Lock()
					screen.Write(b[:n])
					mu.Unlock()
					if err != nil {
						return
					}
				}
			}()
			seen := func(pattern string) {
				t.Helper()
				re := regexp.MustCompile(pattern)
				for range 200 {
					mu.Lock()
					ok := re.Match(screen.Bytes())
					mu.Unlock()
					if ok {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
				t.Fatalf("no %s in %q", pattern, screen.String())
			}
			dir := t.TempDir()
			begin(t, dir, "tcplife", "rules").cmd.Wait() // for the name
			cmd := exec.Command(filepath.Join(dir, "tcplife"), "live", "-i", "lo")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
			cmd.Env = append(os.Environ(), "TERM=xterm-256color")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			seen(`choose`)
			capturing(t, 1)
			during, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			if err != nil || during.Lflag == before.Lflag {
				t.Errorf("the terminal is not taken over: %v", err)
			}
			newWeb(t).get("/leak").(*net.TCPConn).CloseWrite()
			seen(`FIN_WAIT_2  CLOSE_WAIT`)
			tt.end(master, cmd.Process)
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			if err != nil || *after != *before {
				t.Errorf("the terminal is not as it was: %v\n%+v\n%+v", err, before, after)
			}
			seen(`(?s)\x1b\[\?1049l.*1 connection: 1 half-closed`)
		})
	}
}
