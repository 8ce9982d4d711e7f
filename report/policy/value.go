package policy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tcplife/report/anomaly"
)

// An Amount is a number of things, or a share of those there are.
type Amount struct {
	Count uint64
	Share float64 // in [0, 1]
	share bool
}

// parseAmount reads "3" or "0.5%".
func parseAmount(text string) (Amount, error) {
	if digits, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || math.IsNaN(p) || p < 0 || p > 100 {
			return Amount{}, fmt.Errorf("%q is no share; want 0%% to 100%%", text)
		}
		return Amount{Share: p / 100, share: true}, nil
	}
	n, err := strconv.ParseUint(text, 10, 53)
	if err != nil {
		return Amount{}, fmt.Errorf("%q is neither a number such as 3 nor a share such as 0.5%%", text)
	}
	return Amount{Count: n}, nil
}

// exceeded reports whether n of the given number are more than the amount.
func (a Amount) exceeded(n, of uint64) bool {
	if a.share {
		return float64(n) > a.Share*float64(of)
	}
	return n > a.Count
}

func (a Amount) String() string {
	if a.share {
		return percent(a.Share)
	}
	return strconv.FormatUint(a.Count, 10)
}

// percent returns a share with four digits.
func percent(share float64) string {
	return strconv.FormatFloat(share*100, 'g', 4, 64) + "%"
}

// severities are the thresholds by name.
var severities = []struct {
	name  string
	value anomaly.Severity
}{
	{anomaly.Note.String(), anomaly.Note},
	{anomaly.Warn.String(), anomaly.Warn},
	{anomaly.Error.String(), anomaly.Error},
	{"never", never},
}

func parseSeverity(text string) (anomaly.Severity, error) {
	var names []string
	for _, s := range severities {
		if s.name == text {
			return s.value, nil
		}
		names = append(names, s.name)
	}
	return 0, fmt.Errorf("%q is no severity; there are %s", text, strings.Join(names, ", "))
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 200ms, 1.5s or 2m", text)
	}
	return d, nil
}

// parseQuantile reads "p99", "p99.9" or "max".
func parseQuantile(text string) (int, bool) {
	if text == "max" {
		return 1000, true
	}
	digits, ok := strings.CutPrefix(text, "p")
	if !ok {
		return 0, false
	}
	p, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(p > 0 && p < 100) || p*10 != math.Trunc(p*10) {
		return 0, false
	}
	return int(p * 10), true
}

func quantileName(q int) string {
	if q == 1000 {
		return "max"
	}
	return "p" + strconv.FormatFloat(float64(q)/10, 'f', -1, 64)
}

// Networks are some networks.
type Networks []netip.Prefix

func (n Networks) String() string {
	var names []string
	for _, p := range n {
		name := p.String()
		if p.IsSingleIP() {
			name = p.Addr().String()
		}
		names = append(names, name)
	}
	return strings.Join(names, " or ")
}

// contain reports whether one of them holds a.
func (n Networks) contain(a netip.Addr) bool {
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parseNetwork reads an address, which is a network of one, or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil && !p.Addr().Is4In6() {
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// A PortRange is ports from First to Last.
type PortRange struct{ First, Last uint16 }

func parsePorts(text string) (PortRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if errors.Join(err, err2) != nil || a > b {
		return PortRange{}, fmt.Errorf("%q is no port such as 443, nor a range such as 8000-8999", text)
	}
	return PortRange{uint16(a), uint16(b)}, nil
}

func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// parseSuspect reads a suspect's name.
func parseSuspect(text string) (anomaly.Suspect, error) {
	var names []string
	for s := anomaly.ClientApp; s <= anomaly.TheCapture; s++ {
		if s.String() == text {
			return s, nil
		}
		names = append(names, s.String())
	}
	return 0, fmt.Errorf("%q is no suspect; there are %s", text, strings.Join(names, ", "))
}
