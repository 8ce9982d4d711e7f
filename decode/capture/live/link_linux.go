//go:build !(pcap && cgo)

package live

import "golang.org/x/sys/unix"

// Link types, by tcpdump.org/linktypes.html.
const (
	linkEthernet = 1
	linkRaw      = 101
	linkWLAN     = 105
	linkPrism    = 119
	linkRadiotap = 127
)

var linkTypes = [...]uint32{linkEthernet, linkRaw, linkWLAN, linkPrism, linkRadiotap}

// linkTypeOfARPHRD returns the link type of an interface's packets. plain says
// that they are given with their link layer. Otherwise it is one of which the
// kernel has several forms, or that decode doesn't know, and they are given from
// the network header on.
func linkTypeOfARPHRD(hatype uint16) (linkType uint32, plain bool) {
	switch hatype {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		return linkEthernet, true
	case unix.ARPHRD_NONE, unix.ARPHRD_RAWIP: // tun, WireGuard; mobile networks
		return linkRaw, true
	case unix.ARPHRD_IEEE80211:
		return linkWLAN, true
	case unix.ARPHRD_IEEE80211_PRISM:
		return linkPrism, true
	case unix.ARPHRD_IEEE80211_RADIOTAP:
		return linkRadiotap, true
	}
	return linkRaw, false
}
