package live

import (
	"errors"
	"strings"
	"testing"
)

// What no system captures is refused before it is asked for anything.
func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Promiscuous: true}, "promiscuous mode takes interfaces by their names, and not any"},
		{Options{Interfaces: []string{"eth0", "any"}, Promiscuous: true}, "promiscuous mode takes interfaces by their names, and not any"},
		{Options{Snaplen: 63}, "snap length 63: not between 64 and 262144"},
		{Options{Snaplen: 1<<18 + 1}, "snap length 262145: not between 64 and 262144"},
		{Options{Filter: "port http or"}, "filter"},
	} {
		s, err := Open(tt.o)
		if err == nil {
			s.Close()
			t.Errorf("Open(%+v) succeeded", tt.o)
		} else if !strings.Contains(err.Error(), tt.want) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("Open(%+v) says %q, want %q", tt.o, err, tt.want)
		}
	}
}

func TestInterfaces(t *testing.T) {
	list, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if i.Loopback {
			return
		}
	}
	t.Errorf("no loopback interface in %+v", list)
}
