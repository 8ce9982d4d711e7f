package filter

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

// tcpdumpTypes are tcpdump's names of the link types.
var tcpdumpTypes = map[uint32]string{
	0: "NULL", 1: "EN10MB", 101: "RAW", 108: "LOOP", 113: "LINUX_SLL", 228: "IPV4", 229: "IPV6", 276: "LINUX_SLL2",
}

// tcpdumpProgram returns tcpdump's program for an expression, or why it refuses it.
func tcpdumpProgram(t testing.TB, expr string, linkType uint32, flags ...string) (prog []op, refused string) {
	t.Helper()
	cmd := exec.Command("tcpdump", append(flags, "-ddd", "-y", tcpdumpTypes[linkType], "--", expr)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if strings.Contains(stderr.String(), "rejects all packets") {
			return []op{{code: opRet}}, ""
		}
		return nil, strings.TrimSpace(stderr.String())
	}
	var raw []bpf.RawInstruction
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n")[1:] {
		var r bpf.RawInstruction
		if _, err := fmt.Sscan(line, &r.Op, &r.Jt, &r.Jf, &r.K); err != nil {
			t.Fatalf("tcpdump's program for %q has the line %q: %v", expr, line, err)
		}
		raw = append(raw, r)
	}
	if slices.ContainsFunc(raw, func(r bpf.RawInstruction) bool { _, ok := codeOf[r.Op]; return !ok }) {
		t.Fatalf("tcpdump's program for %q has an operation that the virtual machine lacks", expr)
	}
	return decode(raw), ""
}

// ours are the expressions that are understood here and not by tcpdump.
var ours = []string{
	`ip proto tcp`,
	`proto udp`,
	`ip6 proto icmp6`,
	`ip6 proto \icmp6`,
	`ether proto ip6`,
	`port 80 or ((443 or 80) or 8080)`,
}

// theirs are the expressions that tcpdump understands and that are refused here, by a part of the message.
var theirs = map[string]string{
	`host 5`:                        "no address",
	`src 80`:                        "no address",
	`host localhost`:                "not looked up",
	`net loopback`:                  "not looked up",
	`inbound`:                       "direction of a packet",
	`outbound`:                      "direction of a packet",
	`ifindex 1`:                     "differs from machine",
	`protochain 6`:                  "loop",
	`ip protochain \tcp`:            "loop",
	`byte 0 = 1`:                    "ether[N]",
	`ip broadcast`:                  "mask of the network",
	`geneve`:                        "no use",
	`llc`:                           "no use",
	`iso`:                           "no use",
	`stp`:                           "no use",
	`ipx`:                           "no use",
	`atalk`:                         "no use",
	`decnet`:                        "no use",
	`lat`:                           "no use",
	`wlan[0] = 1`:                   "no use",
	`ppp[0] = 1`:                    "no use",
	`ether proto 0xfe`:              "not supported",
	`ether proto 0xe0`:              "not supported",
	`ether proto 0x809b`:            "not supported",
	`ether proto 65536`:             "0 to 65535",
	`ip proto 256`:                  "0 to 255",
	`ip proto \ip`:                  "unknown as a protocol",
	`pppoes and ether proto 0x6003`: "not supported on PPP",
	`len = 7 % 4 * 3`:               "parentheses",
	`len = 7 * 4 % 3`:               "parentheses",
	`len = 12 ^ 7 | 3`:              "parentheses",
	`len = 12 & 7 ^ 3`:              "parentheses",
	`len = 100 % 7 % 2`:             "parentheses",
	`len = - 3 % 5`:                 "parentheses",
	`len = 1 ^ 2 + 3 ^ 4`:           "parentheses",
	`ether[-1] = 1`:                 "outside of any packet",
	`port \\80`:                     "unknown",
	`portrange 1-2-3`:               "unknown",
}

// same are the expressions that both understand, or both refuse.
var same = []string{
	// Nothing, and protocols.
	``, ` `, `ip`, `ip6`, `arp`, `rarp`, `tcp`, `udp`, `sctp`, `icmp`, `icmp6`, `igmp`, `igrp`, `pim`, `vrrp`, `carp`,
	`ah`, `esp`, `not ip`, `! ip`, `!tcp`, `not not tcp`, `ip or ip6`, `not (ip or ip6)`, `ip and tcp`, `ip6 and udp`,
	`tcp or udp`, `ether`, `link`, `icmpv6`, `ipv6`, `IP`, `tcp udp`,
	// Hosts.
	`host 10.0.0.1`, `src host 10.0.0.1`, `dst host 10.0.0.1`, `src 10.0.0.1`, `dst 10.0.0.1`, `src or dst 10.0.0.1`,
	`dst or src host 10.0.0.1`, `src and dst 10.0.0.1`, `dst and src host 10.0.0.1`, `ip host 10.0.0.2`,
	`ip src 10.0.0.2`, `arp host 10.0.0.2`, `arp src host 10.1.2.3`, `rarp dst 10.0.0.2`, `host 2001:db8::1`,
	`src host 2001:db8::1`, `ip6 host fe80::1`, `ip6 dst fe80::1`, `src and dst host ::1`, `host ::ffff:1.2.3.4`,
	`host 10.0.0.1 or 10.0.0.2`, `host 10.0.0.1 and 10.0.0.2`, `host (10.0.0.1 or 10.0.0.2)`, `host (10.0.0.1)`,
	`src host 10.0.0.1 or 10.0.0.2 or 2001:db8::1 or ::1`, `host not 10.0.0.1`, `host not (10.0.0.1 or 10.0.0.2)`,
	`host 10.0.0.1 or not 10.0.0.2`, `not host 10.0.0.1 or 10.0.0.2`, `not (host 10.0.0.1 or 10.0.0.2)`,
	`src host 10.0.0.1 and dst host 10.0.0.2`, `host 10.1`, `host 172.16.3`, `host 010.0.0.1`, `host 255.255.255.255`,
	`host 10.0.0.256`, `host 1.2.3.4.5`, `host 0x0a.1.1.1`, `10.0.0.1`, `ip 10.0.0.1`, `tcp host 10.0.0.1`,
	`tcp src 10.0.0.1`, `ip6 host 10.0.0.1`, `ip host ::1`, `arp host ::1`, `ether host 10.0.0.1`, `host`, `host ip`,
	`host src 10.0.0.1`, `src dst 10.0.0.1`, `src or host 10.0.0.1`, `host 10.0.0.0/8`, `host ::1%lo`, `host ::1/128`,
	`host 2001:db8::/33`, `host a:b:c`,
	// Networks.
	`net 10.0.0.0/8`, `src net 10.0.0.0/8`, `dst net 10.0.0.0/24`, `net 10`, `net 10.1`, `net 10.0.0`, `net 10.0.0.0`,
	`net 0`, `net 192.168.1`, `net 0x0a`, `net 0xac10`, `net 16777216`, `net 10.1/16`, `net 10.0.0.0/30`,
	`net 10.0.0.2/31`, `net 10.0.0.2/32`, `net 0.0.0.0/0`, `src net 0.0.0.0/0`, `net 10.0.0.0 mask 255.0.0.0`,
	`net 10.0 mask 255.0.0.0`, `net 10.0.0.1 mask 255.0.0.255`, `net 10.0.0.0 mask 255`, `net 10.0.0.0 mask 255.0`,
	`ip net 10.0.0.0/8`, `arp net 10`, `arp src net 10.0`, `rarp net 10.0.0.0/8`, `net 10 or 192.168`,
	`net 10.0.0.0/8 or 192.168.0.0/16 or 172.16.0.0/12`, `net 10.0.0.0/8 and 10.1.0.0/16`,
	`not net 10.0.0.0/8`, `net 2001:db8::/32`, `src net 2001:db8::/33`, `net 2001:db8:8000::/33`, `ip6 net fe80::/10`,
	`net ff00::/8`, `net ::/0`, `dst net ::1/128`, `net ::1`, `net 2001:db8::/64 or 10.0.0.0/8`, `net 224.0.0.0/4`,
	`src and dst net 10`, `net 10.1.2.3/8`, `net 10/8`, `net 10 mask 255.0.0.0`, `net 10.0.0.0/33`, `net 10.0.0.0/0`,
	`net 0/0`, `net fe80::1/10`, `net ::/129`, `net 10.1.0.0 mask 255.0.0.0`, `net 1.2.3.4 mask ::1`, `net foo.`, `net`,
	`net ::1 mask 255.0.0.0`, `ip6 net 10`, `tcp net 10`, `ether net 10`, `net 10.0.0.0/`, `net 10.0.0.0/x`,
	// Ports.
	`port 80`, `src port 80`, `dst port 80`, `src or dst port 80`, `src and dst port 80`, `tcp port 80`, `udp port 53`,
	`sctp port 80`, `tcp src port 443`, `tcp dst port 443`, `udp src and dst port 53`, `port 0`, `port 65535`,
	`port 0x50`, `port 0120`, `port (80)`, `port 80 or 443`, `tcp port 80 or 443`, `port (80 or 443)`,
	`port 80 and 443`, `port (80 and not 443)`, `port 80 or not 443`, `port not 80`, `port not (80 or 443)`, `port ((80))`,
	`port 80 or (443)`, `port 80 or (443 or 8080)`, `port ((80) or 443)`, `port (80 or (443))`, `not port 80 or 443`,
	`not (port 80 or 443)`, `src port 80 or dst port 443`, `tcp src port 80 or 443 or 22 and dst port 1024`,
	`portrange 50-100`, `portrange 100-50`, `tcp portrange 50-100`, `udp src portrange 0-1024`, `portrange 80`,
	`dst portrange 1024-65535`, `src and dst portrange 0-1024`, `portrange 1-50 or 80-90`, `portrange 22-53 or 443`,
	`portrange (1-50 or 80-90)`, `not portrange 0-1023`, `port 65536`, `port -1`, `port 80-90`, `port foo`, `port`,
	`portrange 80 - 90`, `portrange 0x10-0x20`, `portrange 1-70000`, `portrange -`, `icmp port 80`,
	`ip port 80`, `ip6 port 80`, `arp port 80`, `ether port 80`, `src tcp port 80`, `tcp 80`, `80`, `port len`, `port ip`,
	`tcp port 80 and (host 10.0.0.1 or host 2001:db8::1)`, `port 10.0.0.1`, `port ::1`,
	// Protocols by number and name.
	`ip proto 6`, `ip proto \tcp`, `ip6 proto 6`, `ip6 proto \udp`, `ip6 proto 44`, `proto 6`, `proto \icmp`, `proto 17`,
	`ip proto (6)`, `ip proto 6 or 17`, `ip proto (6 or 17)`, `ip proto \tcp or \udp`, `ip6 proto \ipv6-icmp`,
	`ip proto \gre`, `proto 0`, `ether proto 0x800`, `ether proto \ip`, `ether proto \ip6`, `ether proto \arp`,
	`ether proto \rarp`, `ether proto 0x86dd`, `ether proto 0x1234`, `ether proto 100`, `ether proto 1500`,
	`ether proto 1501`, `ether proto 0x42`, `ether proto 4`, `ether proto 0x8100`, `not ether proto 0x800`,
	`ether proto 5 or \ip`, `ether proto 0x88cc`, `ip proto tcp4`, `ether proto \tcp`, `arp proto 5`, `tcp proto 5`,
	`src proto 6`, `ip src proto 6`, `proto`,
	// The link layer.
	`ether host 02:00:00:00:00:0a`, `ether src 02:00:00:00:00:0a`, `ether dst 2:0:0:0:0:b`,
	`ether src or dst 02:00:00:00:00:0a`, `ether src and dst 02:00:00:00:00:0a`, `ether host 02-00-00-00-00-0a`,
	`ether dst host 02.00.00.00.00.0b`, `ether dst 0200.0000.000b`, `ether src host 02000000000a`,
	`ether host 02:00:00:00:00:0a or 02:00:00:00:00:0b`, `not ether host ff:ff:ff:ff:ff:ff`, `ether broadcast`,
	`broadcast`, `ether multicast`, `multicast`, `ip multicast`, `ip6 multicast`, `not multicast`, `link broadcast`,
	`arp broadcast`, `tcp multicast`, `ip6 broadcast`, `host 1:2:3:4:5:6`, `ip host 1:2:3:4:5:6`,
	`ether host 1:2:3:4:5`, `ether 1:2:3:4:5:6`, `ether src foo`, `ether host`,
	// Tags.
	`vlan`, `vlan 5`, `vlan (5)`, `vlan 0x64`, `vlan and ip`, `vlan 100 and tcp port 80`, `vlan and vlan`,
	`vlan 1 and vlan 5 and ip`, `vlan and vlan and vlan`, `not vlan`, `not vlan 5`, `not vlan and ip`, `vlan or ip`,
	`(vlan and tcp) or udp`, `vlan 5 or vlan 100`, `vlan and host 10.0.0.1`, `vlan and arp`, `vlan and ether proto 100`,
	`vlan and ether host 02:00:00:00:00:0a`, `vlan and ether[14:2] & 0xfff = 5`, `vlan and tcp[13] & 2 != 0`,
	`vlan 4095`, `vlan 4096`, `vlan -1`, `vlan 5 or 6`, `vlan foo`, `ip or vlan and tcp`, `ip and vlan`,
	`mpls`, `mpls 16`, `mpls and ip`, `mpls and tcp port 80`, `mpls and mpls`, `mpls and mpls 16 and ip6`, `mpls 3 and mpls`,
	`mpls and mpls and mpls and udp`, `mpls and host 10.0.0.1`, `mpls and host 2001:db8::1`, `mpls and tcp[2:2] = 80`,
	`mpls and ip[8] = 64`, `vlan and mpls and tcp`, `not mpls`, `mpls 1048575`, `mpls 1048576`, `mpls and vlan`,
	`mpls and arp`, `mpls and pppoes`, `mpls and ether proto \ip`, `mpls and ether[0] = 2`, `mpls and icmp6[0] = 128`,
	`pppoes`, `pppoes 77`, `pppoes and ip`, `pppoes 77 and tcp port 80`, `pppoes and ip6`, `pppoes and host 10.0.0.1`,
	`pppoes and mpls and ip`, `vlan and pppoes and udp`, `pppoes and pppoes`, `pppoes and ether[0] = 0`, `pppoed`,
	`pppoes and arp`, `pppoes and ether proto \ip`, `pppoes 65535`, `pppoes 65536`, `pppoes and vlan`,
	`pppoes and ether host 1:2:3:4:5:6`, `not pppoes and ip`, `pppoed or pppoes`, `pppoes and tcp[13] = 2`,
	// Lengths.
	`less 60`, `greater 60`, `less 0x50`, `greater 100 and tcp`, `not less 80`, `len = 54`, `len == 54`, `len != 54`,
	`len > 60`, `len >= 60`, `len < 60`, `len <= 60`, `length > 60`, `60 < len`, `60 >= len`, `54 = len`, `54 != len`,
	`(len) > 60`, `(60) < len`, `((len > 60))`, `not len > 60`, `!(len) > 60`, `less`, `less (60)`, `less len`,
	`greater -1`, `len`, `len => 5`, `len <> 5`, `len = `, `less 60 or 70`,
	// Octets.
	`tcp[13] & 2 != 0`, `tcp[13]&2!=0`, `tcp[tcpflags] & tcp-syn != 0`, `tcp[tcpflags] = tcp-syn`,
	`tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn`, `tcp[tcpflags] & (tcp-syn|tcp-fin) != 0`,
	`tcp[tcpflags] & tcp-syn|tcp-ack = 18`, `tcp[tcpflags] & tcp-rst != 0 or tcp[tcpflags] & tcp-fin != 0`,
	`tcp[tcpflags] & (tcp-push|tcp-urg|tcp-ece|tcp-cwr) = 0`, `tcp[0:2] = 80`, `tcp[2:2] > 1023`, `tcp[4:4] = 1`,
	`tcp[0:2] > tcp[2:2]`, `tcp[0:2] = tcp[2:2]`, `tcp[0:2] >= tcp[2:2]`, `tcp[0:2] != tcp[2:2]`, `tcp[0:2] < tcp[2:2]`,
	`tcp[0:2] <= tcp[2:2]`, `ip[8] = 64`, `ip[6:2] & 0x1fff != 0`, `ip[6:2] & 0x1fff = 0`, `ip[0] & 0xf != 5`,
	`ip[0] & 0xf > 5`, `ip[2:2] > 60`, `ip[12:4] = 0x0a000001`, `ip[16] >= 224`, `ip[16] < 224`, `ip6[6] = 6`,
	`ip6[0:4] & 0x0ff00000 = 0`, `ip6[40:2] = 80`, `udp[4:2] > 12`, `udp[8] = 1`, `udp[0:2] + 1 = 54`,
	`icmp[icmptype] = icmp-echo`, `icmp[icmptype] != icmp-echoreply`, `icmp[icmpcode] = 1`, `icmp[0] = 3 or icmp[0] = 11`,
	`icmp6[icmp6type] = icmp6-echo`, `icmp6[icmp6type] = icmp6-neighborsolicit`, `icmp6[icmp6code] = 0`,
	`arp[6:2] = 1`, `rarp[7] = 1`, `sctp[0:2] = 80`, `igmp[0] > 100`, `pim[0] > 1`, `vrrp[0] < 9`, `carp[1] = 3`,
	`igrp[2] & 1 = 1`, `ether[0] & 1 = 0`, `ether[12:2] = 0x800`, `link[4] = 0`, `ether[6:4] = 0x02000000`,
	`ip[0] = 300`, `tcp[20:4] = 0x47455420`, `tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420`, `tcp[(tcp[12]>>2)] > 9`,
	`ip[(ip[0] & 15) * 4] = 0`, `tcp[ip[9]] = 0`, `ip[ip[8] / 4] > 1`, `ether[len - 1] = 0`, `ether[len-1] = 0`,
	`ip[len - 40] & 1 = 1`, `ip[ip[ip[0] & 7]] = 0`, `udp[4:2] - 8 > 5`, `ip[2:2] - ((ip[0] & 0xf) << 2) > 30`,
	`(ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2) != 0`, `ip6[6] = tcp[0]`, `tcp[ip6[0]] = arp[3]`,
	`not tcp[13] & 2 != 0`, `tcp[-1] = 1`, `tcp [13] = 2`, `tcp[ (13) ] = 2`, `tcp[(13):1] = 2`, `tcp[0] & 0 = 0`,
	`- len < 5`, `len - 4 = 50`, `len = 50 + 4`, `len = 5 * 11 - 1`, `len = - (0 - 54)`, `len * 2 = 108`, `len / 2 = 27`,
	`len % 2 = 0`, `len & 1 = 0`, `len | 1 = 55`, `len ^ 1 = 55`, `len << 1 = 108`, `len >> 1 = 27`, `len << 31 = 0`,
	`len / ip[8] = 0`, `len % ip[8] = 54`, `len / (ip[8] - 64) = 0`, `1 << ip[8] > 5`, `len >> ip[9] = 13`,
	`len << ip[9] > 1000`, `len - 60 > 0x7fffffff`, `2 * len > 100`, `100 - len < 60`, `200 / len = 3`, `255 & len = 54`,
	`1 = 1`, `1 = 2`, `1 = 2 or tcp`, `1 = 1 and tcp`, `tcp and 1 = 2`, `tcp or 1 = 1`, `tcp-syn = 2`, `2 > 1 and 1 >= 1`,
	`len = 010`, `len = 0x36`, `len = 0X36`, `len = 08`, `len = 0x`, `len = 0x1ffffffff`, `len = 4294967296`,
	`len = 4294967295`, `ip[0:3] = 1`, `ip[0:0] = 1`, `ip[0:len] = 1`, `ip[0:(1)] = 4`, `ip[0:1:2] = 4`, `tcp[0`, `tcp[]`,
	`tcp[0 = 1`, `tcp[0] = 1 = 1`, `esp[0] = 1`, `ah[0] = 1`, `tcp[tcpflags] & tcp-syn`, `len / 0 = 1`, `len % 0 = 1`,
	`len << 32 = 0`, `len >> 40 = 1`, `len << (30+2) = 0`, `len = 5-3`, `len-4 = 5`, `len = 1 2`, `ip[0] & = 1`,
	`icmp[icmptype] == icmp-echo or icmp-echoreply`, `len = --54`, `len = - - 54`, `len = 3 - - 3`, `len = 12 / (1 + 1)`, `tcp[-20] = 1`,
	// "and" and "or" bind alike; values use the qualifier before them.
	`tcp or udp and port 53`, `tcp and udp or port 53`, `ip or ip6 and port 80`, `port 80 or port 443 and host 10.0.0.1`,
	`(port 80 or port 443) and host 10.0.0.1`, `port 80 or (port 443 and host 10.0.0.1)`, `not tcp and port 53`,
	`not (tcp and port 53)`, `not tcp or udp and not port 80`, `tcp && port 80`, `tcp || udp && port 53`,
	`host 10.0.0.1 && !port 80`, `tcp and port 80 or 443`, `host 10.0.0.1 and (port 80 or 443) or 10.0.0.2`,
	`host 10.0.0.1 or (port 80) or 10.0.0.2`, `port 80 or (tcp) or 53`, `(port 80 or 443) and tcp`,
	`tcp and (port 80 or 443)`, `((tcp))`, `(((tcp) and (port 80)))`, `tcp or (port 80)`, `not (not (tcp))`,
	`host 10.0.0.1 and port 80 or 443`, `host 10.0.0.1 or 10.0.0.2 and port 80 or 443`, "ip\nand\ttcp",
	`tcp or 80`, `port 80 and tcp or 443`, `(port 80) or 443`, `(host 10.0.0.1 or port 80) and 443`,
	`tcp and (port 80 or 443) or 445`, `port 80 or (443 and tcp)`, `port (80 or tcp)`, `ip and`, `and ip`, `()`, `ip)`, `(ip`,
	`ip or or tcp`, `not`, `ip not`, `ip;tcp`, `ip & tcp`, `ip AND tcp`, `$10`, `tcp port 80 host 1.1.1.1`, `foo`, `\`,
	`gateway 1.1.1.1`, `gateway foo`, `type mgt`, `addr1 1:2:3:4:5:6`, `radio`, `rnr 5`, `on eth0`, `ifname eth0`,
	`host example.invalid`, `ether src or 10.0.0.1`, `src or dst`, `src and dst port`,
}

// generated makes an expression of what is supported.
func generated(r *rand.Rand, linkType uint32) string {
	g := generator{r, linkType}
	return g.expr(3)
}

type generator struct {
	*rand.Rand
	linkType uint32
}

func (g generator) expr(depth int) string {
	if depth == 0 || g.IntN(4) == 0 {
		return g.primitive()
	}
	l, r := g.expr(depth-1), g.expr(depth-1)
	switch g.IntN(8) {
	case 0, 1, 2:
		return l + pick(g.Rand, []string{" and ", " && ", "&&"}) + r
	case 3, 4, 5:
		return l + pick(g.Rand, []string{" or ", " || "}) + r
	case 6:
		return "(" + l + ")" + pick(g.Rand, []string{" and ", " or "}) + r
	}
	return pick(g.Rand, []string{"not ", "!"}) + "(" + l + " or " + r + ")"
}

func (g generator) dir() string {
	return pick(g.Rand, []string{"", "", "src ", "dst ", "src or dst ", "src and dst "})
}

func (g generator) primitive() string {
	r := g.Rand
	switch g.IntN(18) {
	case 0, 1:
		return pick(r, []string{"tcp", "udp", "ip", "ip6", "arp", "icmp", "icmp6", "sctp", "rarp", "esp", "not ip", "igmp"})
	case 2, 3:
		s := g.dir() + "host " + pick(r, pool4)
		for g.IntN(3) == 0 {
			s += pick(r, []string{" or ", " and ", " or not "}) + pick(r, append(pool6, pool4...))
		}
		return s
	case 4:
		return g.dir() + "host " + pick(r, pool6)
	case 5:
		return g.dir() + "net " + pick(r, []string{
			"10", "10.0.0.0/8", "192.168", "10.0.0.0/30", "224.0.0.0/4", "2001:db8::/32", "ff00::/8", "172.16.0.0/12",
			"10.0.0.0 mask 255.0.255.0", "2001:db8:8000::/34",
		})
	case 6, 7, 8:
		s := pick(r, []string{"", "tcp ", "udp ", "sctp "}) + g.dir() + "port " + g.port()
		for g.IntN(3) == 0 {
			s += pick(r, []string{" or ", " and ", " or not "}) + g.port()
		}
		return s
	case 9:
		return pick(r, []string{"", "tcp ", "udp "}) + g.dir() + "portrange " + g.port() + "-" + g.port()
	case 10:
		return pick(r, []string{"ip ", "ip6 ", ""}) + "proto " + pick(r, []string{"6", "17", "1", "58", `\tcp`, "44 or 6"})
	case 11:
		if g.linkType != 1 {
			return pick(r, []string{"pppoes", "pppoed", "pppoes 77"})
		}
		return pick(r, []string{
			"vlan", "vlan 5", "vlan 100", "mpls", "pppoes", "pppoes 77", "mpls 16", "ether multicast", "broadcast",
			"ether proto 0x88cc", "ether proto 100", "ether src 02:00:00:00:00:0a",
		})
	case 12:
		return pick(r, []string{"less ", "greater "}) + strconv.Itoa(g.IntN(120))
	case 13:
		return pick(r, []string{"ip multicast", "ip6 multicast", "ether proto \\arp", "ether proto 0x86dd"})
	}
	return g.calc(2) + pick(r, []string{" = ", " == ", " != ", " < ", " > ", " <= ", " >= "}) + g.calc(1)
}

func (g generator) port() string { return strconv.Itoa(int(pick(g.Rand, poolPorts))) }

func (g generator) calc(depth int) string {
	r := g.Rand
	if depth == 0 || g.IntN(4) == 0 {
		if g.IntN(2) == 0 {
			return pick(r, []string{"0", "1", "2", "7", "20", "0x3f", "255", "0xffff", "4294967295", "tcp-syn", "010", "54"})
		}
		return pick(r, []string{
			"len", "tcp[13]", "tcp[0:2]", "ip[8]", "ip[2:2]", "udp[4:2]", "ip6[6]", "ip6[4:2]", "ether[0]", "ether[2:4]",
			"icmp[0]", "icmp6[0]", "tcp[tcpflags]", "ip[12:4]", "tcp[(tcp[12] >> 4) * 4]", "ip[ip[0] & 0xf]", "arp[7]",
			"tcp[len % 20]",
		})
	}
	op := pick(r, []string{" + ", " - ", " * ", " & ", " | ", " << ", " >> ", " / ", " ^ ", " % "})
	if g.IntN(3) == 0 {
		return g.calc(depth-1) + op + g.calc(depth-1)
	}
	return "(" + g.calc(depth-1) + op + g.calc(depth-1) + ")"
}

// loopbackOf rewrites the header of a loopback packet as the system would have that tcpdump was built for: it looks for
// the address families and the byte order of its own machine only, which is a departure that layout.go explains.
func loopbackOf(linkType uint32, p []byte) (q []byte, changed bool) {
	if len(p) < 4 {
		return p, false
	}
	var h []byte
	for _, order := range [...]func() uint32{
		func() uint32 { return uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3]) },
		func() uint32 { return uint32(p[3])<<24 | uint32(p[2])<<16 | uint32(p[1])<<8 | uint32(p[0]) },
	} {
		family := order()
		if slices.Contains(families6, family) {
			family = 10
		}
		if family != 10 && family != 2 {
			continue
		}
		h = be(family)
		if linkType == 0 {
			slices.Reverse(h) // the machines that tcpdump runs on here
		}
	}
	if h == nil || bytes.HasPrefix(p, h) {
		return p, false
	}
	return append(h, p[4:]...), true
}

// TestTcpdump compares the verdicts with those of tcpdump's own programs, on packets made for it and on the project's
// captures.
//
// Where tcpdump's optimizer moved a look at one octet before another, its program and the one that it makes without
// optimizing (-O) disagree on packets cut between the two. Such packets are counted, and left out.
func TestTcpdump(t *testing.T) {
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Skip("there is no tcpdump on this machine to compare with")
	}
	for _, linkType := range slices.Sorted(maps.Keys(tcpdumpTypes)) {
		t.Run(tcpdumpTypes[linkType], func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(linkType)))
			every, generate := 1, 200 // one of so many of the list, and so many generated ones
			if linkType != 1 {
				every, generate = 4, 40
			}
			if testing.Short() {
				every, generate = 4*every, generate/4
			}
			c := comparison{linkType: linkType, packets: captured(t, linkType)}
			for range 2500 {
				c.packets = append(c.packets, randomPacket(r, linkType))
			}
			for i, expr := range same {
				if (i+int(linkType))%every == 0 {
					c.compare(t, expr, false)
				}
			}
			for range generate {
				c.compare(t, generated(r, linkType), true)
			}
			t.Logf("%d expressions compared, %d refused by both, %d skipped for odd arithmetic; %d verdicts equal, %d of cut packets on which tcpdump disagrees with itself",
				c.compared, c.refused, c.odd, c.verdicts, c.undecided)
		})
	}
}

type comparison struct {
	linkType                                    uint32
	packets                                     [][]byte
	compared, refused, odd, verdicts, undecided int
}

func (c *comparison) compare(t *testing.T, expr string, generated bool) {
	t.Helper()
	f, err := Compile(expr, c.linkType, 0)
	prog, refusal := tcpdumpProgram(t, expr, c.linkType)
	switch {
	case err != nil && refusal != "":
		c.refused++
		return
	case err != nil && strings.Contains(err.Error(), "a way of its own"),
		generated && err != nil && (strings.Contains(err.Error(), " by zero") || strings.Contains(err.Error(), "a shift by")),
		generated && (strings.Contains(refusal, " by zero") || strings.Contains(refusal, "shift by")):
		// tcpdump takes the index of "len / tcp[0]" for the divisor, and does not see that 1 / 2 is zero.
		c.odd++
		return
	case err != nil:
		t.Errorf("%q: %v, but tcpdump takes it", expr, err)
		return
	case refusal != "":
		t.Errorf("%q is compiled, but %s", expr, refusal)
		return
	}
	plain, refusal := tcpdumpProgram(t, expr, c.linkType, "-O")
	if refusal != "" {
		t.Errorf("%q: tcpdump -O: %s", expr, refusal)
		return
	}
	c.compared++
	linkOctets := strings.Contains(expr, "ether[") || strings.Contains(expr, "link[")
	for _, p := range c.packets {
		q, changed := p, false
		if c.linkType == 0 || c.linkType == 108 {
			if q, changed = loopbackOf(c.linkType, p); changed && linkOctets {
				continue
			}
		}
		wire := uint32(len(p))
		want := run(prog, q, wire) != 0
		if want != (run(plain, q, wire) != 0) {
			c.undecided++
			continue
		}
		if c.verdicts++; f.Match(p, wire) != want {
			t.Errorf("%q: %v for the packet %x, tcpdump's program says %v", expr, !want, p, want)
			return
		}
	}
}

// TestTcpdumpRefusals holds the lists of departures to what tcpdump says.
func TestTcpdumpRefusals(t *testing.T) {
	for _, expr := range ours {
		if _, err := Compile(expr, 1, 0); err != nil {
			t.Errorf("%q: %v", expr, err)
		}
	}
	for expr, part := range theirs {
		if _, err := Compile(expr, 1, 0); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want an error with %q", expr, err, part)
		}
	}
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Skip("there is no tcpdump on this machine to compare with")
	}
	for _, expr := range ours {
		if _, refusal := tcpdumpProgram(t, expr, 1); refusal == "" {
			t.Errorf("%q is understood by tcpdump as well", expr)
		}
	}
}
