package anomaly

import (
	"encoding/binary"
	"testing"

	"tcplife/decode"
)

func hostNumber(n int) *toward {
	var a decode.Addr
	binary.BigEndian.PutUint32(a[12:], uint32(n))
	return &toward{client: a}
}

func (s *places) countHost(n int) spot {
	k := hostNumber(n)
	return s.count(k, hashOfHost(k.client))
}

// TestPlaces: those that come again and again get places and keep them, and what is
// kept there, among a hundred times as many as there are places, which come once
// each and have taken all before.
func TestPlaces(t *testing.T) {
	const busy = 40
	var s places
	var r per[int]
	if s.find(hostNumber(1), hashOfHost(hostNumber(1).client)) != (spot{}) {
		t.Error("found in an empty table")
	}
	let := 0
	for i := range 100 * maxPlaces {
		if i%20 == 0 && i > 2*maxPlaces {
			if v := r.at(s.countHost(i / 20 % busy)); v != nil {
				*v++
			}
		}
		if v := r.at(s.countHost(1e6 + i)); v != nil {
			let++
			if *v++; *v != 1 {
				t.Fatalf("host %d, seen once, has %d", i, *v)
			}
		}
	}
	if len(s.all) > maxPlaces || len(r.pages) > maxPlaces/pageSize {
		t.Errorf("%d places", len(s.all))
	}
	if let > 2*maxPlaces {
		t.Errorf("%d that came once were let in", let)
	}
	for i := range busy {
		v := r.has(s.find(hostNumber(i), hashOfHost(hostNumber(i).client)))
		if want := 98 * maxPlaces / 20 / busy; v == nil || *v < want*9/10 {
			t.Errorf("host %d has not nearly its %d connections", i, want)
		}
	}
	seen := 0
	r.each(&s, func(at *place, v *int) {
		if binary.BigEndian.Uint32(at.client[12:]) < busy {
			seen++
		}
	})
	if seen != busy {
		t.Errorf("%d of %d busy ones", seen, busy)
	}
}

// TestPlacesGivenAway: what is kept of a place is of the one that has it.
func TestPlacesGivenAway(t *testing.T) {
	var s places
	var r per[int]
	old := s.countHost(0)
	*r.at(old) = 7
	for n := 1; s.find(hostNumber(0), hashOfHost(hostNumber(0).client)) != (spot{}); n++ {
		s.countHost(n)
		s.countHost(n)
	}
	taken := spot{old.at, s.of(old).life}
	if r.has(taken) != nil {
		t.Error("the next one has what was kept of the last")
	}
	if v := r.at(taken); *v != 0 {
		t.Errorf("begins with %d", *v)
	}
	if r.has(old) != nil {
		t.Error("the last one still has something")
	}
}
