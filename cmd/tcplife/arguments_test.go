package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestSplitArgs(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"a.pcap", "capture", "tcp", "t[1].pcap"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("dir", 0o755); err != nil {
		t.Fatal(err)
	}
	const none = -1 // no "--"
	for _, test := range []struct {
		args  []string
		dash  int // arguments before "--", which itself is none of them
		files int // the others are the filter
	}{
		{[]string{"a.pcap"}, none, 1},
		{[]string{"a.pcap", "capture", "dir", "-"}, none, 4},
		{[]string{"a.pcap", "t[1].pcap", "*.pcap", "no*.pcap"}, none, 4},

		// Missing files.
		{[]string{"none", "none.pcap"}, none, 2},
		{[]string{"a.pcap", "tcp.pcap"}, none, 2},
		{[]string{"a.pcap", "tcp and udp.pcap.gz"}, none, 2},
		{[]string{"a.pcap", "captures/port"}, none, 2},

		// Filters, in one argument or several.
		{[]string{"a.pcap", "port 80"}, none, 1},
		{[]string{"a.pcap", "capture", "port", "80"}, none, 2},
		{[]string{"a.pcap", "(port 80)"}, none, 1},
		{[]string{"a.pcap", "!udp"}, none, 1},
		{[]string{"a.pcap", "tcp[tcpflags] & tcp-syn != 0"}, none, 1},
		{[]string{"a.pcap", "udp[0]=1"}, none, 1},

		// There is a file named tcp, but the filter has begun, or not.
		{[]string{"a.pcap", "not", "tcp"}, none, 1},
		{[]string{"a.pcap", "tcp", "port", "80"}, none, 2},

		// For the filter to tell the mistake.
		{[]string{"a.pcap", "prt 80 and udp"}, none, 1},
		{[]string{"a.pcap", "10.0.0.1"}, none, 1},
		{[]string{"a.pcap", "::1"}, none, 1},
		{[]string{"a.pcap", "udp", "or", "a.pcap"}, none, 1},

		// Behind "--" is the filter, if files stand before it.
		{[]string{"a.pcap", "tcp"}, 1, 1},
		{[]string{"a.pcap", "capture", "-x"}, 2, 2},
		{[]string{"a.pcap", "capture"}, 2, 2},
		{[]string{"a.pcap", "capture", "port", "80"}, 0, 2},
	} {
		files, expr, err := splitArgs(test.args, test.dash)
		if want := strings.Join(test.args[test.files:], " "); err != nil || !slices.Equal(files, test.args[:test.files]) || expr != want {
			t.Errorf("%q, %d before --: files %q, filter %q, %v", test.args, test.dash, files, expr, err)
		}
	}
	// The second "--" is an argument.
	files, expr, err := splitArgs([]string{"-x", "--", "tcp"}, 0)
	if err != nil || !slices.Equal(files, []string{"-x"}) || expr != "tcp" {
		t.Errorf("files %q, filter %q, %v", files, expr, err)
	}
	for _, args := range [][]string{nil, {"port 80"}, {"not", "tcp"}, {"--", "udp"}} {
		if _, _, err := splitArgs(args, none); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
