package main

import "strconv"

// linkTypeNames returns the names of LINKTYPE_ values, in lower case, as
// tcpdump.org/linktypes.html has them.
func linkTypeNames(types []uint32) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = linkTypeName(t)
	}
	return names
}

func linkTypeName(t uint32) string {
	switch t {
	case 0:
		return "null"
	case 1:
		return "ethernet"
	case 9:
		return "ppp"
	case 10:
		return "fddi"
	case 12, 14, 101:
		return "raw"
	case 50:
		return "ppp-hdlc"
	case 51:
		return "ppp-ether"
	case 104:
		return "c-hdlc"
	case 105:
		return "ieee802-11"
	case 107:
		return "frelay"
	case 108:
		return "loop"
	case 113:
		return "linux-sll"
	case 119:
		return "ieee802-11-prism"
	case 127:
		return "ieee802-11-radiotap"
	case 163:
		return "ieee802-11-avs"
	case 166:
		return "ppp-pppd"
	case 192:
		return "ppi"
	case 204:
		return "ppp-with-dir"
	case 205:
		return "c-hdlc-with-dir"
	case 206:
		return "frelay-with-dir"
	case 219:
		return "mpls"
	case 228:
		return "ipv4"
	case 229:
		return "ipv6"
	case 239:
		return "nflog"
	case 258:
		return "pktap"
	case 276:
		return "linux-sll2"
	}
	return "linktype-" + strconv.FormatUint(uint64(t), 10)
}
