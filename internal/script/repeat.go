package script

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A repeat says how often a script's connection takes place, and what differs.
type repeat struct {
	n     int
	every string        // as written
	step  time.Duration // from one to the next
	vary  []string      // of varying
	isn   string        // step of the initial sequence numbers, as written; "": they are scattered
	isns  uint32
}

// maxCopies bounds what a line of a script can ask for.
const maxCopies = 100_000

// varying are what may differ between copies, by one each time.
var varying = []string{"A.addr", "A.port", "B.addr", "B.port"}

// parseRepeat reads what stands behind "repeat".
func parseRepeat(f []string) (*repeat, error) {
	if len(f) < 3 {
		return nil, errors.New("want repeat N +TIME and what differs")
	}
	r := &repeat{every: f[1]}
	var err error
	if r.n, err = strconv.Atoi(f[0]); err != nil || r.n < 1 || r.n > maxCopies {
		return nil, fmt.Errorf("not a number from 1 to %d: %q", maxCopies, f[0])
	}
	if !strings.HasPrefix(f[1], "+") {
		return nil, fmt.Errorf("not a time to go on: %q", f[1])
	}
	if r.step, err = parseTime(f[1], 0); err != nil {
		return nil, err
	}
	for f = f[2:]; len(f) > 0; f = f[1:] {
		switch {
		case f[0] == "isn" && len(f) > 1:
			n, err := strconv.ParseUint(f[1], 10, 32)
			if err != nil {
				return nil, fmt.Errorf("not a step: %q", f[1])
			}
			r.isn, r.isns = f[1], uint32(n)
			f = f[1:]
		case slices.Contains(varying, f[0]):
			r.vary = append(r.vary, f[0])
		default:
			return nil, fmt.Errorf("%q is none of %s, isn N", f[0], strings.Join(varying, ", "))
		}
	}
	return r, nil
}

func (r *repeat) String() string {
	l := fmt.Sprintf("repeat %d %s", r.n, r.every)
	for _, v := range r.vary {
		l += " " + v
	}
	if r.isn != "" {
		l += " isn " + r.isn
	}
	return l
}

// Copies returns the script as often as its repeat line says, each with the times
// and endpoints of its own; without one, the script itself.
func (s *Script) Copies() []*Script {
	if s.repeat == nil {
		return []*Script{s}
	}
	all := make([]*Script, s.repeat.n)
	for i := range all {
		c := *s
		c.repeat, c.origin = nil, s
		c.Steps = slices.Clone(s.Steps)
		for k := range c.Steps {
			c.Steps[k].At += time.Duration(i) * s.repeat.step
		}
		for _, v := range s.repeat.vary {
			end := &c.A
			if v[0] == 'B' {
				end = &c.B
			}
			if strings.HasSuffix(v, "addr") {
				*end = netip.AddrPortFrom(plus(end.Addr(), i), end.Port())
			} else {
				*end = netip.AddrPortFrom(end.Addr(), end.Port()+uint16(i))
			}
		}
		c.isn = [2]uint32{uint32(i) * s.repeat.isns, uint32(i) * s.repeat.isns}
		if s.repeat.isn == "" {
			c.isn = [2]uint32{scatter(i), scatter(i + maxCopies)}
		}
		all[i] = &c
	}
	return all
}

// Origin returns the script that s is a copy of, s itself if it is none.
func (s *Script) Origin() *Script {
	if s.origin != nil {
		return s.origin
	}
	return s
}

// plus returns the n-th address after a.
func plus(a netip.Addr, n int) netip.Addr {
	b := a.AsSlice()
	v := new(big.Int).SetBytes(b)
	v.Add(v, big.NewInt(int64(n)))
	v.And(v, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))), big.NewInt(1)))
	sum, _ := netip.AddrFromSlice(v.FillBytes(b))
	return sum
}

// scatter returns numbers that look like initial sequence numbers do, 0 first.
func scatter(i int) uint32 { return uint32(i) * uint32(i) * 2654435761 }
