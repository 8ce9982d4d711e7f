package filter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
)

var frames = map[string][]byte{
	"syn":       eth(etherIPv4, ip4Plain("10.0.0.1", "192.168.1.77", 6, tcpSeg(40000, 443, 0x02))),
	"syn-ack":   eth(etherIPv4, ip4Plain("192.168.1.77", "10.0.0.1", 6, tcpSeg(443, 40000, 0x12))),
	"rst":       eth(etherIPv4, ip4Plain("192.168.1.77", "10.0.0.1", 6, tcpSeg(443, 40000, 0x04))),
	"options":   eth(etherIPv4, ip4Packet("10.0.0.1", "10.0.0.2", 6, 0, "01010101 01010101", tcpSeg(40000, 80, 0x18, "4745542f"))),
	"fragment":  eth(etherIPv4, ip4Packet("10.0.0.1", "10.0.0.2", 6, 0x00b9, "", tcpSeg(40000, 80, 0x18))),
	"query":     eth(etherIPv4, ip4Plain("10.0.0.1", "10.0.0.53", 17, udpDgram(5000, 53, "abcd"))),
	"mdns":      eth(etherIPv4, ip4Plain("10.0.0.1", "224.0.0.251", 17, udpDgram(5353, 5353))),
	"ping":      eth(etherIPv4, ip4Plain("10.0.0.1", "10.0.0.2", 1, "0800 0000 0001 0001")),
	"syn6":      eth(etherIPv6, ip6Packet("2001:db8::1", "2001:db8::2", 6, tcpSeg(40000, 443, 0x02))),
	"hop6":      eth(etherIPv6, ip6Packet("2001:db8::1", "2001:db8::2", 0, "06 00 000000000000", tcpSeg(40000, 443, 0x02))),
	"fragment6": eth(etherIPv6, ip6Packet("2001:db8::1", "2001:db8::2", 44, "06 00 0001 00000007", tcpSeg(40000, 443, 0x02))),
	"nd":        eth(etherIPv6, ip6Packet("fe80::1", "ff02::1", 58, "8700 0000 00000000")),
	"arp":       be("ffffffffffff", macA, uint16(etherARP), arpMsg("10.0.0.1", "10.0.0.2")),
	"vlan5":     eth(etherVLAN, "2005 0800", ip4Plain("10.0.0.1", "10.0.0.2", 6, tcpSeg(40000, 80, 0x02))),
	"vlan5.6":   eth(etherQinQ, "0005 8100 0006 86dd", ip6Packet("2001:db8::1", "2001:db8::2", 17, udpDgram(1, 53))),
	"mpls":      eth(etherMPLS, "0001003f 0001113f", ip4Plain("10.0.0.1", "10.0.0.2", 6, tcpSeg(40000, 80, 0x02))),
	"pppoe":     eth(etherPPPoES, "1100 004d 002a 0021", ip4Plain("10.0.0.1", "10.0.0.2", 6, tcpSeg(40000, 80, 0x02))),
}

func ip4Plain(src, dst string, proto int, payload ...any) []byte {
	return ip4Packet(src, dst, proto, 0, "", payload...)
}

// TestMatch lists for each expression the frames that it wants.
func TestMatch(t *testing.T) {
	tests := []struct{ expr, want string }{
		{"tcp", "syn syn-ack rst options fragment syn6 fragment6"},
		{"tcp and not ip6", "syn syn-ack rst options fragment"},
		{"ip6", "syn6 hop6 fragment6 nd"},
		{"arp", "arp"},
		{"icmp or icmp6", "ping nd"},

		// An IPv4 fragment without the TCP header has no port; behind IPv6's extension headers none is looked for.
		{"port 443", "syn syn-ack rst syn6"},
		{"src port 443", "syn-ack rst"},
		{"tcp dst port 443", "syn syn6"},
		{"port 80 or 443", "syn syn-ack rst options syn6"},
		{"udp port domain", "query"},
		{"portrange 50-90", "options query"},
		{"src and dst port 5353", "mdns"},

		{"host 10.0.0.2", "options fragment ping arp"},
		{"ip host 10.0.0.2", "options fragment ping"},
		{"src 192.168.1.77", "syn-ack rst"},
		{"host 10.0.0.53 or 192.168.1.77", "syn syn-ack rst query"},
		{"net 192.168", "syn syn-ack rst"},
		{"net 10.0.0.0/30", "syn syn-ack rst options fragment query mdns ping arp"},
		{"dst net 10.0.0.0 mask 255.255.255.252", "syn-ack rst options fragment ping arp"},
		{"host 2001:db8::2", "syn6 hop6 fragment6"},
		{"net fe80::/10", "nd"},

		{"ip proto tcp", "syn syn-ack rst options fragment"},
		{`ip6 proto \tcp`, "syn6 fragment6"},
		{"ether proto 0x8847", "mpls"},
		{"ether broadcast", "arp"},
		{"ether src 02:00:00:00:00:0a and ether proto \\arp", "arp"},
		{"ip multicast or ip6 multicast", "mdns nd"},

		// Without "vlan", "mpls" and "pppoes", what is in these is not looked at.
		{"vlan", "vlan5 vlan5.6"},
		{"vlan 5 and tcp", "vlan5"},
		{"vlan 5 and vlan 6 and udp port 53", "vlan5.6"},
		{"vlan and not tcp", "vlan5.6"},
		{"mpls 16 and mpls 17 and host 10.0.0.2", "mpls"},
		{"mpls 17", ""},
		{"pppoes 77 and tcp port 80", "pppoe"},

		{"tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn", "syn"},
		{"tcp[tcpflags] & tcp-rst != 0", "rst"},
		{"tcp[((tcp[12] & 0xf0) >> 2):4] = 0x4745542f", "options"},
		{"ip[6:2] & 0x1fff != 0", "fragment"},
		{"icmp[icmptype] = icmp-echo", "ping"},
		{"icmp6[icmp6type] = icmp6-neighborsolicit", "nd"},
		{"less 54", "syn syn-ack rst fragment query mdns ping arp"},
		{"len > 74", "hop6 fragment6"},

		// "and" and "or" bind alike.
		{"arp or icmp and host 10.0.0.53", ""},
		{"arp or (icmp and host 10.0.0.2)", "arp ping"},
		{"not arp and icmp", "ping"},
		{"udp && !port 53", "mdns"},
	}
	for _, tt := range tests {
		f, err := Compile(tt.expr, 1, 0)
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
			continue
		}
		want := map[string]bool{}
		for _, name := range strings.Fields(tt.want) {
			want[name] = true
		}
		for name, p := range frames {
			if got := f.Match(p, uint32(len(p))); got != want[name] {
				t.Errorf("%s: %v for %s", tt.expr, got, name)
			}
		}
	}
}

// TestLinkTypes finds the same segment behind each link type's header.
func TestLinkTypes(t *testing.T) {
	v4 := ip4Plain("10.0.0.1", "192.168.1.77", 6, tcpSeg(40000, 443, 0x02))
	v6 := ip6Packet("2001:db8::1", "2001:db8::2", 6, tcpSeg(40000, 443, 0x02))
	cooked := func(typ uint16, p []byte) []byte { return be("0000 0001 0006", macA, "0000", typ, p) }
	cooked2 := func(typ uint16, p []byte) []byte { return be(typ, "0000 00000001 0001 00 06", macA, "0000", p) }
	tests := []struct {
		linkType uint32
		packets  [][]byte
	}{
		{0, [][]byte{be("02000000", v4), be("00000002", v4), be("1e000000", v6), be("0a000000", v6), be("0000001c", v6)}},
		{1, [][]byte{eth(etherIPv4, v4), eth(etherIPv6, v6)}},
		{12, [][]byte{v4, v6}},
		{14, [][]byte{v4, v6}},
		{101, [][]byte{v4, v6}},
		{108, [][]byte{be("00000002", v4), be("00000018", v6)}},
		{113, [][]byte{cooked(etherIPv4, v4), cooked(etherIPv6, v6)}},
		{228, [][]byte{v4}},
		{229, [][]byte{v6}},
		{276, [][]byte{cooked2(etherIPv4, v4), cooked2(etherIPv6, v6)}},
	}
	for _, tt := range tests {
		if !Supported(tt.linkType) {
			t.Errorf("link type %d is not supported", tt.linkType)
		}
		for _, expr := range []string{
			"tcp port 443 and (host 10.0.0.1 or host 2001:db8::1)", "", "ip or ip6",
			"tcp[13] = 2 or ip6[53] = 2", "not udp and not arp",
		} {
			f, err := Compile(expr, tt.linkType, 0)
			if err != nil {
				t.Errorf("link type %d: %s: %v", tt.linkType, expr, err)
				continue
			}
			for i, p := range tt.packets {
				if !f.Match(p, uint32(len(p))) {
					t.Errorf("link type %d: %s: packet %d is not wanted", tt.linkType, expr, i)
				}
			}
		}
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		linkType uint32
		expr     string
		want     string
	}{
		{1, "tcp prot 80", `filter column 5: "prot" is not expected here: only "and", "or" or the end can follow`},
		{1, "hots 10.0.0.1", `filter column 1: the word "hots" is unknown`},
		{1, "tcp and PORT 80", `filter column 9: the word "PORT" is unknown: write "port"`},
		{1, "tcp port", `filter column 9: the end of the expression where a port should be`},
		{1, "tcp and", `filter column 8: the end of the expression where a condition should be`},
		{1, "(tcp or udp", `filter column 1: this parenthesis is not closed`},
		{1, "tcp)", `filter column 4: ")" is not expected here: only "and", "or" or the end can follow`},
		{1, "host example.org", `filter column 6: "example.org" is no address, and names are not looked up`},
		{1, "src 80", `filter column 5: 80 is no address: write "port 80" if it is a port`},
		{1, "10.0.0.1", `filter column 1: "10.0.0.1" has no qualifier, such as in "host 10.0.0.1"`},
		{1, "tcp or 80", `filter column 8: the number 80 has no qualifier, such as in "port 80", and is not compared`},
		{1, "tcp host 10.0.0.1", `filter column 1: "tcp" has no addresses`},
		{1, "net 10.1.2.3/8", `filter column 5: "10.1.2.3" has bits that its mask has not`},
		{1, "net 10/8", `filter column 7: a network with a mask needs more than one octet: write "net 10.0.0.0"`},
		{1, "host 10.0.0.256", `filter column 6: the address 10.0.0.256 has a part that is more than 255`},
		{1, "port 65536", `filter column 6: port 65536 is more than 65535`},
		{1, "port 80-90", `filter column 6: "80-90" is a range: write "portrange 80-90"`},
		{1, "udp port http", `filter column 10: "http" is a port of the other of TCP and UDP`},
		{1, "host 1:2:3:4:5:6", `filter column 6: "1:2:3:4:5:6" is an Ethernet address: write "ether host 1:2:3:4:5:6"`},
		{1, "tcp[13", `filter column 7: the end of the expression where "]" should be after the index`},
		{1, "tcp[13] & 2", `filter column 12: the end of the expression where the number should be compared: with =, !=, <, <=, > or >=`},
		{1, "tcp[0:3] = 1", `filter column 7: "3" where the size 1, 2 or 4 should be`},
		{1, "len % 4 + 1 = 2", `filter column 9: "+" needs parentheses here: with % and ^, tcpdump groups in a way of its own`},
		{1, "len / 0 = 1", `filter column 5: a division by zero`},
		{1, "vlan 4096", `filter column 6: the VLAN 4096 is more than 4095`},
		{1, "inbound", `filter column 1: "inbound" is not supported: the direction of a packet is not in a capture`},
		{1, "ip protochain 6", `filter column 4: "protochain" is not supported: it needs a loop, which the kernel does not allow`},
		{1, "gateway foo", `filter column 1: "gateway" is not supported: it needs the names of hosts, which are not looked up`},
		{1, "tcp;udp", `filter column 4: ';' does not belong to the filter language`},
		{1, "tcp \x1b[31m", `filter column 5: '\x1b' does not belong to the filter language`},
		{1, "host \\\x1b[31m", `filter column 6: "\x1b[31m" is no address, and names are not looked up`},
		{1, "tcp \xff", `filter column 5: '�' does not belong to the filter language`},
		{101, "tcp and vlan 5", `filter column 9: there is no VLAN on raw IP`},
		{113, "ether host 1:2:3:4:5:6", `filter column 12: there are no Ethernet addresses on Linux cooked packets`},
		{127, "tcp", `filter column 1: packets of link type 127 cannot be filtered`},
	}
	for _, tt := range tests {
		_, err := Compile(tt.expr, tt.linkType, 0)
		var e *Error
		if !errors.As(err, &e) || e.Error() != tt.want {
			t.Errorf("%q:\n got %v\nwant %s", tt.expr, err, tt.want)
		}
	}
}

// TestLimits holds Compile to its bounds; the expressions behind them are refused, with an error.
func TestLimits(t *testing.T) {
	list := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s10.%d.%d.%d", []string{" or ", "host "}[index(i == 0)], i>>16&255, i>>8&255, i&255)
		}
		return b.String()
	}
	if _, err := Compile(list(900), 1, 0); err != nil {
		t.Error("900 hosts:", err)
	}
	for _, expr := range []string{
		strings.Repeat("(len - ", 40) + "len" + strings.Repeat(")", 40) + " = 0",
		strings.Repeat("tcp[0] + ", 400) + "ip[(tcp[1] + tcp[2]) * (tcp[3] - len)] < (len + ip[0]) / (len * ip[1])",
	} {
		if _, err := Compile(expr, 1, 0); err != nil {
			t.Errorf("%.40s...: %v", expr, err)
		}
	}
	for name, expr := range map[string]string{
		"hosts":       list(3000),
		"length":      strings.Repeat("tcp or ", 10000) + "tcp",
		"parentheses": strings.Repeat("(", 1000) + "tcp" + strings.Repeat(")", 1000),
		"negations":   strings.Repeat("!", 1000) + "tcp",
		"indices":     strings.Repeat("ip[", 1000) + "0" + strings.Repeat("]", 1000) + "=0",
		"sum":         strings.Repeat("tcp[0]+", 9000) + "0 = 0",
		"minus":       strings.Repeat("-", 60000) + "1 = 0",
		"tests":       strings.Repeat("arp[0] = 1 or ", 4500) + "tcp",
		"types":       "ether proto 1" + strings.Repeat(" or 2", 10000),
		"vlans":       strings.Repeat("vlan or ", 8000) + "tcp",
	} {
		if _, err := Compile(expr, 1, 0); err == nil && name != "tests" && name != "types" {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestLongJumps compiles an expression whose ways are longer than a jump of 8 bits and compares it with what it means.
func TestLongJumps(t *testing.T) {
	var b strings.Builder
	b.WriteString("port 1")
	for p := 3; p < 1200; p += 2 {
		fmt.Fprintf(&b, " or %d", p)
	}
	for _, expr := range []string{"tcp and (" + b.String() + ")", "not (udp or (" + b.String() + "))"} {
		f, err := Compile(expr, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		valid(t, expr, f)
		for p := range uint16(1300) {
			want := p&1 == 1 && p < 1200
			if strings.HasPrefix(expr, "not") {
				want = !want
			}
			for _, n := range [][]byte{
				eth(etherIPv4, ip4Plain("10.0.0.1", "10.0.0.2", 6, tcpSeg(p, 2000, 2))),
				eth(etherIPv6, ip6Packet("::1", "::2", 6, tcpSeg(2000, p, 2))),
			} {
				if f.Match(n, 60) != want {
					t.Fatalf("port %d: %v", p, !want)
				}
			}
		}
	}
}

// valid fails if the program is none that every machine for BPF takes.
func valid(t testing.TB, expr string, f *Filter) {
	t.Helper()
	raw := f.Raw()
	ins, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatalf("%q: an instruction is unknown", expr)
	}
	if _, err := bpf.NewVM(ins); err != nil {
		t.Fatalf("%q: %v", expr, err)
	}
	for i, r := range raw {
		switch ins[i].(type) {
		case bpf.JumpIf, bpf.JumpIfX:
			if i+1+int(max(r.Jt, r.Jf)) >= len(raw) {
				t.Fatalf("%q: instruction %d jumps out of the program", expr, i)
			}
		case bpf.Jump:
			if r.K >= uint32(len(raw)-i-1) {
				t.Fatalf("%q: instruction %d jumps out of the program", expr, i)
			}
		}
	}
}

// TestKernel gives the programs to the kernel.
func TestKernel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux takes programs for any socket")
	}
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Skip("no socket: ", err)
	}
	defer c.Close()
	sock := ipv4.NewPacketConn(c)
	for linkType := range tcpdumpTypes {
		for _, expr := range same {
			f, err := Compile(expr, linkType, 0)
			if err != nil {
				continue
			}
			valid(t, expr, f)
			if err := sock.SetBPF(f.Raw()); err != nil {
				t.Errorf("%q on link type %d: %v", expr, linkType, err)
			}
		}
	}
}

// TestVM compares the verdicts of this package's virtual machine with those of x/net's.
func TestVM(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, expr := range same {
		f, err := Compile(expr, 1, 65535)
		if err != nil || strings.Contains(expr, "len") || strings.Contains(expr, "less") || strings.Contains(expr, "greater") {
			continue // x/net's has no length but the captured one
		}
		ins, _ := bpf.Disassemble(f.Raw())
		vm, err := bpf.NewVM(ins)
		if err != nil {
			t.Fatalf("%q: %v", expr, err)
		}
		for range 100 {
			p := randomPacket(r, 1)
			if n, err := vm.Run(p); err != nil || (n != 0) != f.Match(p, uint32(len(p))) {
				t.Fatalf("%q: %d, %v for %x", expr, n, err, p)
			}
		}
	}
}

func TestSnaplen(t *testing.T) {
	for snaplen, want := range map[uint32]uint32{0: 262144, 96: 96} {
		f, err := Compile("", 127, snaplen)
		if err != nil {
			t.Fatal(err)
		}
		if raw := f.Raw(); len(raw) != 1 || raw[0].K != want {
			t.Errorf("snaplen %d: %v", snaplen, raw)
		}
		if !f.Match(nil, 0) {
			t.Error("the empty expression does not want an empty packet")
		}
	}
}

func TestMatchAllocates(t *testing.T) {
	for _, expr := range []string{"tcp port 443 and host 10.0.0.1", "(ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2) != 0"} {
		f, err := Compile(expr, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := frames["syn"]
		if n := testing.AllocsPerRun(100, func() { f.Match(p, uint32(len(p))) }); n != 0 {
			t.Errorf("%s: %v allocations per packet", expr, n)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for i, expr := range same {
		f.Add(expr, uint16(i%10), frames["syn"])
	}
	for expr := range theirs {
		f.Add(expr, uint16(1), frames["vlan5"])
	}
	types := []uint32{1, 0, 12, 14, 101, 108, 113, 228, 229, 276}
	f.Fuzz(func(t *testing.T, expr string, typ uint16, packet []byte) {
		c, err := Compile(expr, types[int(typ)%len(types)], 0)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Pos < 0 || e.Pos > len(expr) || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("%q: the error %#v", expr, err)
			}
			return
		}
		valid(t, expr, c)
		c.Match(packet, uint32(len(packet)))
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, expr := range []string{
		"tcp", "tcp port 443 and host 10.0.0.1", "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0",
		"port 80 or 443 or 8080 or 8443", "not (net 192.168.0.0/16 and (port 22 or 53)) and tcp",
	} {
		b.Run(strings.ReplaceAll(expr, " ", "_"), func(b *testing.B) {
			f, err := Compile(expr, 1, 0)
			if err != nil {
				b.Fatal(err)
			}
			p := frames["syn"]
			b.ReportAllocs()
			for b.Loop() {
				f.Match(p, 60)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile("tcp port 443 and host 10.0.0.1", 1, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// TestDocs compiles the examples that users are given.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		if expr, ok := strings.CutPrefix(line, "    "); ok {
			n++
			expr, _, _ = strings.Cut(expr, "  ")
			if _, err := Compile(expr, 1, 0); err != nil {
				t.Errorf("%s: %v", expr, err)
			}
		}
	}
	if n == 0 {
		t.Error("no examples found")
	}
}
