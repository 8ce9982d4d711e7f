package main

import (
	"strings"
	"testing"

	"tcplife/track"
)

func TestEndStates(t *testing.T) {
	for text, want := range map[string]endState{
		"FIN_WAIT_2":        {track.FinWait2, true, true},
		"fin-wait-2":        {track.FinWait2, true, true}, // ss
		"FIN_WAIT2":         {track.FinWait2, true, true}, // netstat
		"SYN_RECV":          {track.SynReceived, true, true},
		"ESTAB":             {track.Established, true, true},
		"unknown":           {track.Unknown, true, true},
		"Client=SYN-SENT":   {track.SynSent, true, false},
		"server=CLOSE_WAIT": {track.CloseWait, false, true},
	} {
		if got, err := parseEndState(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "=", "WAIT", "=CLOSED", "client", "client=server=CLOSED", "CLOSED=client", "FIN_WAIT"} {
		if got, err := parseEndState(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
	for _, name := range stateNames() {
		if got, err := parseEndState(name); err != nil || got.state.String() != name {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestNets(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":             "10.0.0.1/32",
		"10.1.2.3/8":           "10.1.2.3/8",
		"2001:db8::1":          "2001:db8::1/128",
		"2001:db8::/32":        "2001:db8::/32",
		"::ffff:10.0.0.1":      "10.0.0.1/32", // reports have it as IPv4
		"10.0.0/24":            "",
		"10.0.0.0/255.0.0.0":   "",
		"::ffff:10.0.0.0/104":  "",
		"fe80::1%eth0":         "",
		"localhost":            "",
		"10.0.0.1:80":          "",
		"":                     "",
		strings.Repeat("1", 9): "",
	} {
		p, err := parseNet(text)
		got := ""
		if err == nil {
			got = p.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
