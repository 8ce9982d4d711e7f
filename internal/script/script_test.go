package script

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// example has one of everything.
const example = `# Comment, which stays
#  as it is.
A 192.0.2.1:40001
0       SYN_SENT     --> S 0:0(0) win 100 <mss 1460,wscale 7,sackOK,TS val 4294967295 ecr 0>               --> LISTEN
# About the next line.
+.010   SYN_SENT     <-- S.E 0:0(0) ack 1 <mss 1460,wscale 7,sackOK,TS val 1 ecr 4294967295> {id 7 ttl 63} <-- SYN_RCVD
+.000   ESTABLISHED  --> FP. 1:301(300) ack 1 <TS val 0 ecr 1,sack 5:10 20:30> {cut}                       --> ESTABLISHED  a note
-.001   ESTABLISHED  <-- none -5:-5(0) {badsum}                                                            <-- ESTABLISHED
+1                   --> P. 300:301(1) ack 1 {offload}                                                     -->
+1                   <-- icmp host-unreachable quoting 301 from 203.0.113.1                                <--
+1                   <-- icmp port-unreachable quoting 1                                                   <--
9                    --> S 5000000000:5000000010(10) <tfo>                                                 -->
+240    CLOSED           (2MSL)                                                                                CLOSED
+0      CLOSED           (end of capture)                                                                      CLOSED
= A: SYN_SENT@1
= B: SYN_RCVD@2

B [2001:db8::2]:443
A [2001:db8::1]:40000
0   <--  R. 0:0(0)   ack 1
+1 --> P. 1:2(1) ack 1
+1  <-- icmp prohibited quoting 1  from 2001:db8::ff
`

func TestParse(t *testing.T) {
	all, err := Parse(example)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(example, "\n\n")
	if got := all[0].String(); got != first+"\n" {
		t.Errorf("printed:\n%s\nread:\n%s", got, first)
	}
	const second = `A [2001:db8::1]:40000
B [2001:db8::2]:443
0                    <-- R. 0:0(0) ack 1                             <--
+1                   --> P. 1:2(1) ack 1                             -->
+1                   <-- icmp prohibited quoting 1 from 2001:db8::ff <--
`
	if got := all[1].String(); got != second {
		t.Errorf("got:\n%s\nwant:\n%s", got, second)
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"0 --> S 0:0(0)\n\n0 --> X 0:0(0)", `line 3: not a segment: "X 0:0(0)"`},
		{"0 --> S 0:1(0)", "line 1: 0 + 0 is not 1"},
		{"0 --> S 0:0(0) ack 1", `line 1: the flag . and ack go together: "S 0:0(0) ack 1"`},
		{"0 --> . 0:0(0)", `line 1: the flag . and ack go together: ". 0:0(0)"`},
		{"0 --> S 0:0(0) win 65536", `line 1: not between 0 and 65535: "65536"`},
		{"0 --> S 0:0(0) <mss>", `line 1: not an option: "mss"`},
		{"0 --> . 0:0(0) ack 1 <sack 1:2 3:4 5:6 7:8 9:10>", "line 1: options of 42 octets"},
		{"0 --> S 0:0(0) {id}", `line 1: not an attribute: "id"`},
		{"0 --> S 0:0(0) {badsum offload}", `line 1: two checksums: "S 0:0(0) {badsum offload}"`},
		{"+ --> S 0:0(0)", `line 1: not a time: "+"`},
		{"0 S 0:0(0)", `line 1: neither arrow nor parenthesis: "0:0(0)"`},
		{"0 (2MSL", `line 1: parenthesis not closed: "(2MSL"`},
		{"0 <-- icmp teapot quoting 0", `line 1: not the name of an ICMP error: "teapot"`},
		{"A [2001:db8::1]:1\nB [2001:db8::2]:1\n0 <-- icmp host-unknown quoting 0", `line 3: not the name of an ICMP error: "host-unknown"`},
		{"0 <-- icmp prohibited", `line 1: not an ICMP error: "icmp prohibited"`},
		{"0 <-- icmp prohibited quoting 0 from 2001:db8::1", "line 1: 2001:db8::1 has no route to the ends"},
		{"A 192.0.2.1", `line 1: not an ip:port`},
		{"A 198.51.100.2:443\n0 --> S 0:0(0)", "line 2: both ends are 198.51.100.2:443"},
		{"A [2001:db8::1]:1\n0 --> S 0:0(0)", "line 2: one end has an IPv4 and the other an IPv6 address"},
		{"0 (end of capture)\n+1 (udp)", "line 2: frame after the end of the capture"},
		{"0 (udp)\n= A: CLOSED\n+1 (udp)", "line 3: frame after a line with ="},
		{"repeat 0 +1 A.port\n0 (udp)", `line 1: not a number from 1 to 100000: "0"`},
		{"repeat 2 1 A.port\n0 (udp)", `line 1: not a time to go on: "1"`},
		{"repeat 2 +1 C.port\n0 (udp)", `line 1: "C.port" is none of A.addr, A.port, B.addr, B.port, isn N`},
		{"repeat 2 +1 isn x\n0 (udp)", `line 1: not a step: "x"`},
		{"0 (udp)\n# stray\n\n0 (udp)", "line 3: comment without a frame"},
	} {
		_, err := Parse(test.text)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: error %v, want %s", test.text, err, test.want)
		}
	}
}

// FuzzParse holds printing to parsing: what was read is printed so that it is
// read as the same, and everything that can be read can be played.
func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Parse(text)
		if err != nil {
			return
		}
		printed := Format(all)
		again, err := Parse(printed)
		if err != nil {
			t.Fatalf("%v, reading:\n%s", err, printed)
		}
		if got := Format(again); got != printed {
			t.Fatalf("first:\n%s\nthen:\n%s", printed, got)
		}
		for _, s := range all {
			s.Events(1<<32-1, 7)
		}
	})
}

// TestCopies: each copy of a script has times, endpoints and numbers of its own, and
// all are merged by time.
func TestCopies(t *testing.T) {
	all, err := Parse("repeat 3 +.5 A.port B.addr isn 1000\n0 --> S 0:0(0)\n+.6 <-- S. 0:0(0) ack 1\n\nand\n+.1 --> S 0:0(0)\n")
	if err != nil {
		t.Fatal(err)
	}
	if !all[1].And || all[0].And {
		t.Error("the second script is not of one capture with the first")
	}
	events, _ := Merge(all, 7, 9)
	var got []string
	for _, e := range events {
		g := e.Segment
		got = append(got, fmt.Sprintf("%d %v %v:%d>%v:%d %d", e.Frame, e.Time.Sub(Epoch), g.Src.IP(), g.SrcPort, g.Dst.IP(), g.DstPort, g.Seq))
	}
	want := []string{
		"1 0s 192.0.2.1:40000>198.51.100.2:443 7",
		"2 100ms 192.0.2.1:40000>198.51.100.2:443 7",
		"3 500ms 192.0.2.1:40001>198.51.100.3:443 1007",
		"4 600ms 198.51.100.2:443>192.0.2.1:40000 9",
		"5 1s 192.0.2.1:40002>198.51.100.4:443 2007",
		"6 1.1s 198.51.100.3:443>192.0.2.1:40001 1009",
		"7 1.6s 198.51.100.4:443>192.0.2.1:40002 2009",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
}
