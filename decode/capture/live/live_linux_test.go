//go:build !(pcap && cgo)

package live

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcplife/decode/capture"
	"tcplife/decode/filter"
)

// network puts the test into a network namespace of its own, which ends with it,
// and runs ip there, a command a line.
func network(t *testing.T, commands ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip, of the Debian package iproute2")
	}
	t.Parallel()
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("a network namespace: %v", err)
	}
	// So that the interfaces say nothing of their own accord.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ip(t, append([]string{"link set lo up"}, commands...)...)
}

func ip(t *testing.T, commands ...string) {
	t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip: %v: %s", err, out)
	}
}

// link is a pair of interfaces.
func link(a, b string) []string {
	return []string{
		"link add " + a + " type veth peer name " + b,
		"link set " + a + " up",
		"link set " + b + " up",
	}
}

func start(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// all returns a line for each packet until Stop, and then stops.
func all(t *testing.T, s *Source) (lines []string) {
	t.Helper()
	s.Stop()
	for {
		var p capture.Packet
		switch err := s.Next(&p); err {
		case nil:
			lines = append(lines, describe(&p))
		case io.EOF:
			return lines
		default:
			t.Fatal(err)
		}
	}
}

// describe tells what a packet is: the link type, VLANs, and UDP's destination.
func describe(p *capture.Packet) string {
	b := p.Data
	s := fmt.Sprint(p.LinkType)
	if p.LinkType == linkEthernet {
		typ := binary.BigEndian.Uint16(b[12:])
		for b = b[14:]; typ == 0x8100 || typ == 0x88a8; b = b[4:] {
			s += fmt.Sprintf(" vlan %d", binary.BigEndian.Uint16(b)&0xfff)
			typ = binary.BigEndian.Uint16(b[2:])
		}
		if typ != 0x0800 && typ != 0x86dd {
			return fmt.Sprintf("%s type %#x", s, typ)
		}
	}
	if len(b) >= 28 && b[0] == 0x45 && b[9] == 17 {
		return fmt.Sprintf("%s udp %d", s, binary.BigEndian.Uint16(b[22:]))
	}
	return s + " other"
}

// send sends n UDP datagrams from this host to a port.
func send(t *testing.T, to string, n int) {
	t.Helper()
	c, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n > 0 {
		if _, err := c.Write([]byte("x")); err == nil { // else the one before has found nobody listening
			n--
		}
	}
}

// frame returns an Ethernet frame with a UDP datagram to a port, in a VLAN if that
// is not 0.
func frame(vlan, port uint16) []byte {
	b := make([]byte, 12, 64)
	b[0], b[6] = 2, 2
	if vlan != 0 {
		b = binary.BigEndian.AppendUint32(b, 0x8100<<16|uint32(vlan))
	}
	b = append(b, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 9)
	b = binary.BigEndian.AppendUint16(b, port)
	return append(b, 0, 8, 0, 0)
}

// inject has an interface send a frame.
func inject(t *testing.T, name string, b []byte) {
	t.Helper()
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index}); err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestLoopbackOnce(t *testing.T) {
	for _, name := range []string{"lo", Any} {
		t.Run(name, func(t *testing.T) {
			network(t)
			s := start(t, Options{Interfaces: []string{name}, Filter: "udp"})
			send(t, "127.0.0.1:1001", 1)
			send(t, "127.0.0.1:1002", 1)
			equal(t, all(t, s), "1 udp 1001", "1 udp 1002")
			if got, want := s.Stats(), (Stats{Received: 2}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// What was captured before Stop is returned after it, and nothing else.
func TestStop(t *testing.T) {
	network(t)
	s := start(t, Options{Interfaces: []string{"lo"}, Filter: "dst port 1001"})
	const n = 5000
	send(t, "127.0.0.1:1001", n)
	s.Stop()
	var p capture.Packet
	for i := range uint64(n) {
		if err := s.Next(&p); err != nil {
			t.Fatalf("packet %d: %v", i+1, err)
		}
		if p.Frame != i+1 {
			t.Fatalf("packet %d is frame %d", i+1, p.Frame)
		}
	}
	send(t, "127.0.0.1:1001", 1)
	for range 2 {
		if err := s.Next(&p); err != io.EOF {
			t.Fatalf("after Stop: %v, frame %d", err, p.Frame)
		}
	}
}

func TestDeadline(t *testing.T) {
	network(t)
	s := start(t, Options{Interfaces: []string{"lo"}})
	var p capture.Packet
	s.SetDeadline(time.Now().Add(30 * time.Millisecond))
	if err := s.Next(&p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	send(t, "127.0.0.1:1001", 1)
	sent := time.Now()
	s.SetDeadline(sent.Add(10 * time.Second))
	if err := s.Next(&p); err != nil {
		t.Fatal(err)
	}
	if since := time.Since(sent); since > time.Second { // Lag, on a machine that is busy
		t.Errorf("the packet took %v", since)
	}
	if d := p.Time.UTC().Sub(sent); d < -time.Second || d > time.Second {
		t.Errorf("the packet's time is %v after it was sent", d)
	}
}

// Another goroutine's Stop ends a wait without end.
func TestStopWakes(t *testing.T) {
	network(t)
	s := start(t, Options{Interfaces: []string{"lo"}})
	time.AfterFunc(20*time.Millisecond, s.Stop)
	var p capture.Packet
	if err := s.Next(&p); err != io.EOF {
		t.Fatal(err)
	}
}

// The kernel takes the VLAN's tag off on arrival, if the network card hasn't. The
// filter sees it where a file has it.
func TestVLAN(t *testing.T) {
	for _, tt := range []struct {
		filter string
		want   []string
	}{
		{"", []string{"1 udp 1001", "1 vlan 7 udp 1002"}},
		{"udp", []string{"1 udp 1001"}},
		{"vlan and udp", []string{"1 vlan 7 udp 1002"}},
		{"vlan 8 and udp", nil},
		{"not udp port 1001", []string{"1 vlan 7 udp 1002"}},
	} {
		t.Run(tt.filter, func(t *testing.T) {
			network(t, link("p0", "p1")...)
			s := start(t, Options{Interfaces: []string{"p1"}, Filter: tt.filter})
			inject(t, "p0", frame(0, 1001))
			inject(t, "p0", frame(7, 1002))
			equal(t, all(t, s), tt.want...)
		})
	}
}

// Of several interfaces the packets come in one order, and those of others not at
// all.
func TestSeveralInterfaces(t *testing.T) {
	for _, tt := range []struct {
		names []string
		want  []string
	}{
		{[]string{"lo", "p1"}, []string{"1 udp 1001", "1 udp 1002", "1 udp 1004"}},
		{[]string{"p1", "q1"}, []string{"1 udp 1002", "1 udp 1003"}},
		{nil, []string{"1 udp 1001", "1 udp 1002", "1 udp 1002", "1 udp 1003", "1 udp 1003", "1 udp 1004"}},
	} {
		t.Run(strings.Join(tt.names, ","), func(t *testing.T) {
			network(t, append(append(link("p0", "p1"), link("q0", "q1")...),
				"addr add 192.0.2.1/24 dev p0", "addr add 198.51.100.1/24 dev q0",
				"neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev p0", "neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev q0",
			)...)
			s := start(t, Options{Interfaces: tt.names, Filter: "udp"})
			send(t, "127.0.0.1:1001", 1)
			send(t, "192.0.2.2:1002", 1)
			send(t, "198.51.100.2:1003", 1)
			send(t, "127.0.0.1:1004", 1)
			equal(t, all(t, s), tt.want...)
		})
	}
}

// tap makes a TUN or TAP device, and returns the file to write its packets to.
func tap(t *testing.T, name string, flags uint16, hatype int) int {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("/dev/net/tun: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(flags | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETLINK, hatype); err != nil {
		t.Fatal(err)
	}
	ip(t, "link set "+name+" up")
	return fd
}

// An interface without a link layer gives bare IP packets, and so does one with a
// link layer that is not told apart.
func TestOtherLinkLayers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		flags  uint16
		hatype int
		packet []byte
	}{
		{"none", unix.IFF_TUN, unix.ARPHRD_NONE, frame(0, 1001)[14:]},
		{"ppp, without its header", unix.IFF_TUN, unix.ARPHRD_PPP, frame(0, 1001)[14:]},
		{"another, with a header of 14 octets", unix.IFF_TAP, unix.ARPHRD_INFINIBAND, frame(0, 1001)},
	} {
		for filter, want := range map[string][]string{
			"":                            {"101 udp 1001"},
			"udp port 1001":               {"101 udp 1001"},
			"ip[0] & 15 = 5":              {"101 udp 1001"},
			"udp port 1002":               nil,
			"ether src 02:00:00:00:00:00": nil,
		} {
			t.Run(tt.name+" "+filter, func(t *testing.T) {
				network(t)
				fd := tap(t, "tap9", tt.flags, tt.hatype)
				s := start(t, Options{Interfaces: []string{"tap9"}, Filter: filter})
				if _, err := unix.Write(fd, tt.packet); err != nil {
					t.Fatal(err)
				}
				equal(t, all(t, s), want...)
			})
		}
	}
}

func TestSnaplen(t *testing.T) {
	network(t)
	s := start(t, Options{Interfaces: []string{"lo"}, Snaplen: 64})
	c, err := net.Dial("udp", "127.0.0.1:1001")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	var p capture.Packet
	if err := s.Next(&p); err != nil {
		t.Fatal(err)
	}
	if len(p.Data) != 64 || p.Length != 1042 {
		t.Errorf("%d octets of %d, want 64 of 1042", len(p.Data), p.Length)
	}
}

// What the buffer has no room for is counted, and the rest is whole.
func TestDropped(t *testing.T) {
	network(t)
	s := start(t, Options{Interfaces: []string{"lo"}, Filter: "dst port 1001", Buffer: 1})
	const n = 30_000 // of at least 112 octets: more than two blocks
	send(t, "127.0.0.1:1001", n)
	got := all(t, s)
	for _, line := range got {
		if line != "1 udp 1001" {
			t.Fatal(line)
		}
	}
	st := s.Stats()
	if st.Received != n || st.Dropped == 0 || st.Received-st.Dropped != uint64(len(got)) {
		t.Errorf("%d packets were read, of %+v", len(got), st)
	}
}

// An interface may go down and come back, also as another one of its name.
func TestInterfaceComesBack(t *testing.T) {
	network(t, link("p0", "p1")...)
	var warnings []string
	s := start(t, Options{
		Interfaces: []string{"p0"}, Filter: "udp", Promiscuous: true,
		Warn: func(w string) { warnings = append(warnings, w) },
	})
	capabilitiesOf(t, capabilities())
	arrives := func(port int) {
		t.Helper()
		ip(t, "addr add 192.0.2.1/24 dev p0", "neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev p0")
		var p capture.Packet
		for range 50 {
			send(t, fmt.Sprint("192.0.2.2:", port), 1)
			s.SetDeadline(time.Now().Add(100 * time.Millisecond))
			err := s.Next(&p)
			if err == nil {
				if got, want := describe(&p), fmt.Sprint("1 udp ", port); got == want {
					return
				}
			} else if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
		t.Fatalf("no packet to port %d arrives; warnings: %q", port, warnings)
	}
	idle := func() {
		t.Helper()
		var p capture.Packet
		s.SetDeadline(time.Now().Add(lookEvery + 200*time.Millisecond))
		for {
			if err := s.Next(&p); errors.Is(err, os.ErrDeadlineExceeded) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	arrives(1001)
	ip(t, "link set p0 down")
	idle()
	ip(t, "link set p0 up", "addr del 192.0.2.1/24 dev p0")
	arrives(1002)
	ip(t, "link del p0")
	idle()
	ip(t, link("p0", "p1")...)
	idle()
	arrives(1003)
	equal(t, warnings,
		"p0 went down: its packets are captured when it comes up",
		"p0 went down: its packets are captured when it comes up",
		"p0 is gone: its packets are captured when it comes back",
		"p0 is back")
}

func TestNoSuchInterface(t *testing.T) {
	network(t)
	_, err := Open(Options{Interfaces: []string{"nosuch"}})
	if err == nil || err.Error() != "no interface nosuch: tcplife interfaces lists them" {
		t.Error(err)
	}
}

// A filter too long for the kernel is evaluated here.
func TestLongFilter(t *testing.T) {
	network(t)
	expr := "udp and (dst port 2001"
	for p, n := 2002, 0; n <= unix.BPF_MAXINSNS; p++ {
		expr += fmt.Sprint(" or dst port ", p)
		if n = 0; p%64 != 0 {
			continue
		}
		for _, linkType := range [...]uint32{linkEthernet, linkRaw} {
			f, err := filter.Compile(expr+")", linkType, 0)
			if err != nil {
				t.Fatal(err)
			}
			n += len(f.Raw())
		}
	}
	s := start(t, Options{Interfaces: []string{"lo"}, Filter: expr + ")"})
	if s.h.judges {
		t.Fatal("the kernel took it")
	}
	send(t, "127.0.0.1:1001", 1)
	send(t, "127.0.0.1:2001", 1)
	send(t, "127.0.0.1:1001", 1)
	equal(t, all(t, s), "1 udp 2001")
}

// capabilitiesOf has the thread of the test, which ends with it, keep those only.
func capabilitiesOf(t *testing.T, keep [2]unix.CapUserData) {
	t.Helper()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&hdr, &keep[0]); err != nil {
		t.Fatal(err)
	}
}

// Opening takes CAP_NET_RAW, promiscuous mode included, and going on nothing.
func TestLeastPrivilege(t *testing.T) {
	network(t)
	const raw = 1 << unix.CAP_NET_RAW
	capabilitiesOf(t, [2]unix.CapUserData{{Effective: raw, Permitted: raw}})
	s := start(t, Options{Interfaces: []string{"lo"}, Filter: "udp", Promiscuous: true})
	capabilitiesOf(t, [2]unix.CapUserData{})
	send(t, "127.0.0.1:1001", 1)
	equal(t, all(t, s), "1 udp 1001")
}

// TestDropPrivileges looks at every thread of a process of its own.
func TestDropPrivileges(t *testing.T) {
	if os.Getenv("TCPLIFE_TEST_DROP") != "" {
		if err := DropPrivileges(); err != nil {
			t.Fatal(err)
		}
		tasks, err := filepath.Glob("/proc/self/task/*/status")
		if err != nil || len(tasks) < 2 {
			t.Fatal(tasks, err)
		}
		for _, name := range tasks {
			b, err := os.ReadFile(name)
			if err != nil {
				continue // the thread has ended
			}
			want := fmt.Sprintf("CapEff:\t%016x", capabilities()[0].Effective)
			if !strings.Contains(string(b), want) {
				t.Errorf("%s:\n%s", name, b)
			}
		}
		return
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "CGO_ENABLED" && s.Value == "1" {
				t.Skip("built with cgo")
			}
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDropPrivileges$")
	cmd.Env = append(os.Environ(), "TCPLIFE_TEST_DROP=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestNoRight(t *testing.T) {
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		capabilitiesOf(t, [2]unix.CapUserData{})
	}
	s, err := Open(Options{Interfaces: []string{"lo"}})
	if err == nil {
		s.Close()
		t.Skip("this user has the right to capture")
	}
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "sudo setcap cap_net_raw=ep /") {
		t.Error(err)
	}
}
