package capture

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// TestTwoFilesInOne holds that a pcap file behind another, as cat makes it, is told
// for what it is: its header would else be a packet of the year 2055.
func TestTwoFilesInOne(t *testing.T) {
	one, err := os.ReadFile("../../testdata/pcaps/refused.pcap")
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(append(bytes.Clone(one), one...)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	var p Packet
	for err = r.Next(&p); err == nil; err = r.Next(&p) {
		n++
	}
	if n != 2 || err == io.EOF || !strings.HasPrefix(err.Error(), "frame 3: another pcap file begins here") {
		t.Errorf("%d packets, then %v", n, err)
	}
}
