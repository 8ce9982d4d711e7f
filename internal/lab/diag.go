//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A pair names a socket by its ends.
type pair struct{ local, remote netip.AddrPort }

// diagStates are the states in which a socket may be no full socket, and so has
// no tracepoint: a request, an orphan in FIN_WAIT_2, and TIME_WAIT.
var diagStates = map[uint8]string{3: "SYN_RCVD", 5: "FIN_WAIT_2", 6: "TIME_WAIT", 12: "SYN_RCVD"}

// dump asks the kernel, through a NETLINK_SOCK_DIAG socket in its namespace, for
// all TCP sockets of an address family in one of diagStates.
func dump(fd int, family uint8) (map[pair]string, error) {
	// struct nlmsghdr, then struct inet_diag_req_v2
	req := make([]byte, 16+56)
	binary.NativeEndian.PutUint32(req[0:], uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	req[16], req[17] = family, unix.IPPROTO_TCP
	var states uint32
	for s := range diagStates {
		states |= 1 << s
	}
	binary.NativeEndian.PutUint32(req[20:], states)
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	socks := map[pair]string{}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return nil, err
		}
		for b := buf[:n]; len(b) >= 16; {
			size := binary.NativeEndian.Uint32(b)
			if size < 16 || int(size) > len(b) {
				return nil, fmt.Errorf("netlink message of %d octets", size)
			}
			switch binary.NativeEndian.Uint16(b[4:]) {
			case unix.NLMSG_DONE:
				return socks, nil
			case unix.NLMSG_ERROR:
				return nil, fmt.Errorf("sock_diag: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(b[16:]))))
			}
			// struct inet_diag_msg: family, state, timer, retrans, then the id
			m := b[16:size]
			addr := func(b []byte) netip.Addr {
				if family == unix.AF_INET {
					b = b[:4]
				}
				a, _ := netip.AddrFromSlice(b)
				return a
			}
			p := pair{
				netip.AddrPortFrom(addr(m[8:24]), binary.BigEndian.Uint16(m[4:])),
				netip.AddrPortFrom(addr(m[24:40]), binary.BigEndian.Uint16(m[6:])),
			}
			socks[p] = diagStates[m[1]]
			b = b[min(int(size+3)&^3, len(b)):]
		}
	}
}
