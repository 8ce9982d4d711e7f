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
	case 12, 14, 101:
		return "raw"
	case 51:
		return "ppp-ether"
	case 105:
		return "ieee802-11"
	case 108:
		return "loop"
	case 113:
		return "linux-sll"
	case 127:
		return "ieee802-11-radiotap"
	case 228:
		return "ipv4"
	case 229:
		return "ipv6"
	case 276:
		return "linux-sll2"
	}
	return "linktype-" + strconv.FormatUint(uint64(t), 10)
}
