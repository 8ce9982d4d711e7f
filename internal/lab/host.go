//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A host is a network namespace with one interface, a TAP device whose other end
// is the lab's wire. The namespace has no name: it ends with its last file
// descriptor, even if the lab is killed.
type host struct {
	name string // "client" or "server"
	addr netip.Addr
	ns   *os.File
	tap  *os.File
	diag int // NETLINK_SOCK_DIAG
	mac  [6]byte
}

// newHost makes a host. Packets to every address but its own leave by a gateway
// that is the wire.
func newHost(name string, addr netip.Addr, id byte) (*host, error) {
	h := &host{name: name, addr: addr, diag: -1, mac: [6]byte{2, 0, 0, 0, 0, id}}
	done := make(chan error)
	go func() {
		// The thread is never unlocked, so it dies with the goroutine and takes
		// the foreign namespace with it.
		runtime.LockOSThread()
		done <- h.make()
	}()
	if err := <-done; err != nil {
		h.close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return h, nil
}

func (h *host) make() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if h.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq("eth0")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return err
	}
	h.tap = os.NewFile(uintptr(fd), "tap")
	if h.diag, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG); err != nil {
		return err
	}
	if err := setSysctl("net.ipv6.conf.default.accept_ra", "0"); err != nil {
		return err
	}
	bits, gateway, opt := 24, "192.0.2.254", ""
	switch {
	case h.addr.Is6():
		bits, gateway, opt = 64, "2001:db8:0:1::fe", " nodad"
		if h.name == "server" {
			gateway = "2001:db8:0:2::fe"
		}
	case h.name == "server":
		gateway = "198.51.100.254"
	}
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(fmt.Sprintf(`link set lo up
link set eth0 address %s up
addr add %v/%d dev eth0%s
neigh add %s lladdr %s nud permanent dev eth0
route add default via %s
`, mac(h.mac), h.addr, bits, opt, gateway, mac(gatewayMAC), gateway))
	if out, err := ip.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	return nil
}

var gatewayMAC = [6]byte{2, 0, 0, 0, 0, 0xfe}

func mac(a [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

func (h *host) close() {
	if h.tap != nil {
		h.tap.Close()
	}
	if h.diag >= 0 {
		unix.Close(h.diag)
	}
	if h.ns != nil {
		h.ns.Close()
	}
}

// do runs f on a thread in the host's namespace.
func (h *host) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // see newHost
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func setSysctl(name, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")), []byte(value), 0)
}

// sockets: the calls that scenarios make. Each one that fails ends the scenario.

// patience bounds every call that waits.
const patience = 20 * time.Second

// A sock is a TCP or UDP socket on a host.
type sock struct {
	l  *lab
	h  *host
	fd int
}

func (l *lab) socket(h *host, kind int) *sock {
	family := unix.AF_INET
	if h.addr.Is6() {
		family = unix.AF_INET6
	}
	s := &sock{l: l, h: h}
	l.must(h.do(func() (err error) {
		s.fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, l.kind)
		return err
	}))
	tv := unix.NsecToTimeval(patience.Nanoseconds())
	l.must(unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	l.must(unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv))
	s.set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	l.socks = append(l.socks, s)
	return s
}

// tcp returns a TCP socket bound to a port; its options can still be set.
func (l *lab) tcp(h *host, port uint16) *sock {
	s := l.socket(h, unix.SOCK_STREAM)
	l.must(unix.Bind(s.fd, sockaddr(netip.AddrPortFrom(h.addr, port))))
	return s
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

func (s *sock) set(level, opt, v int) *sock {
	s.l.must(unix.SetsockoptInt(s.fd, level, opt, v))
	return s
}

func (s *sock) listen(backlog int) *sock {
	s.l.must(unix.Listen(s.fd, backlog))
	return s
}

func (s *sock) accept() *sock {
	fd, _, err := unix.Accept4(s.fd, unix.SOCK_CLOEXEC)
	s.l.must(err)
	n := &sock{l: s.l, h: s.h, fd: fd}
	s.l.socks = append(s.l.socks, n)
	return n
}

// start sends the SYN and does not wait.
func (s *sock) start(to netip.AddrPort) *sock {
	s.l.must(unix.SetNonblock(s.fd, true))
	if err := unix.Connect(s.fd, sockaddr(to)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		s.l.must(err)
	}
	s.l.must(unix.SetNonblock(s.fd, false))
	return s
}

// ended waits for the outcome of start.
func (s *sock) ended() error {
	p := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if n, err := unix.Poll(p, 100); err == nil && n > 0 {
			e, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
			if err != nil {
				return err
			}
			if e != 0 {
				return unix.Errno(e)
			}
			return nil
		}
	}
	return os.ErrDeadlineExceeded
}

// connect makes the connection, and fails the scenario if that fails.
func (s *sock) connect(to netip.AddrPort) *sock {
	s.start(to)
	s.l.must(s.ended())
	return s
}

// write sends n octets; what becomes of them is the scenario's business.
func (s *sock) write(n int) error {
	_, err := unix.Write(s.fd, []byte(strings.Repeat("x", n)))
	return err
}

// read receives exactly n octets.
func (s *sock) read(n int) {
	for b := make([]byte, n); n > 0; {
		m, err := unix.Read(s.fd, b[:n])
		if m == 0 && err == nil {
			err = errors.New("end of file")
		}
		s.l.must(err)
		n -= m
	}
}

// eof waits for the peer's FIN or RST.
func (s *sock) eof() error {
	n, err := unix.Read(s.fd, make([]byte, 1))
	if n > 0 {
		return errors.New("data where the end should be")
	}
	return err
}

func (s *sock) shutdown() { s.l.must(unix.Shutdown(s.fd, unix.SHUT_WR)) }

func (s *sock) close() {
	if s.fd < 0 {
		return
	}
	s.l.closed(s)
	unix.Close(s.fd)
	s.fd = -1
}

// abort closes with a RST.
func (s *sock) abort() {
	s.linger0()
	s.close()
}

func (s *sock) linger0() {
	s.l.must(unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}

// vanish makes the kernel forget the connection without a word, as a power cut
// does.
func (s *sock) vanish() {
	s.set(unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON)
	unix.Close(s.fd)
	s.fd = -1
}

// isn sets the initial sequence number of a socket that is not yet connected.
func (s *sock) isn(n uint32) *sock {
	const sendQueue = 2
	s.set(unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON)
	s.set(unix.IPPROTO_TCP, unix.TCP_REPAIR_QUEUE, sendQueue)
	s.set(unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ, int(int32(n)))
	s.set(unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_OFF_NO_WP)
	return s
}
