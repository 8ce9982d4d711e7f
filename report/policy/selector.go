package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tcplife/report/anomaly"
)

// A Selector chooses connections: those that meet every condition that is set.
type Selector struct {
	Ports     []PortRange // of the server
	Server    Networks
	Client    Networks
	Host      Networks // either end
	Direction Direction
	Suspect   anomaly.Suspect // only of findings
}

// Direction is where a connection comes from and goes to, seen from home.
type Direction uint8

// Directions.
const (
	AnyDirection Direction = iota
	Inbound                // from elsewhere to home
	Outbound               // from home to elsewhere
	Internal               // from home to home
	External               // neither end is at home
)

func (d Direction) String() string {
	return [...]string{"", "inbound", "outbound", "internal", "external"}[d]
}

func parseDirection(text string) (Direction, error) {
	for d := Inbound; d <= External; d++ {
		if d.String() == text {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%q is no direction; there are inbound, outbound, internal, external", text)
}

// ends is what a selector looks at of a connection.
type ends struct {
	client, server netip.Addr
	port           uint16 // the server's
	direction      Direction
}

// directionOf returns the direction of a connection between two hosts.
func directionOf(home Networks, client, server netip.Addr) Direction {
	switch from, to := home.contain(client), home.contain(server); {
	case from && to:
		return Internal
	case from:
		return Outbound
	case to:
		return Inbound
	}
	return External
}

// matches reports whether the selector chooses the connection, whoever is suspected.
func (s *Selector) matches(e *ends) bool {
	return (s.Ports == nil || slices.ContainsFunc(s.Ports, func(r PortRange) bool { return r.First <= e.port && e.port <= r.Last })) &&
		(s.Server == nil || s.Server.contain(e.server)) &&
		(s.Client == nil || s.Client.contain(e.client)) &&
		(s.Host == nil || s.Host.contain(e.client) || s.Host.contain(e.server)) &&
		(s.Direction == AnyDirection || s.Direction == e.direction)
}

// suspects reports whether a finding's suspect is the one that the selector is about.
func (s *Selector) suspects(by anomaly.Suspect) bool {
	return s.Suspect == anomaly.NoSuspect || s.Suspect == by
}

// specificity returns what selectors are compared by, the heaviest first: how many
// conditions there are, how narrow their networks are, how narrow their ports.
func (s *Selector) specificity() [3]int {
	var conditions, bits, ports int
	for _, n := range []Networks{s.Server, s.Client, s.Host} {
		if n == nil {
			continue
		}
		conditions++
		widest := 128
		for _, p := range n {
			narrow := p.Bits()
			if p.Addr().Is4() {
				narrow += 96
			}
			widest = min(widest, narrow)
		}
		bits += widest
	}
	if s.Ports != nil {
		conditions++
		ports = 1 << 16
		for _, r := range s.Ports {
			ports -= int(r.Last-r.First) + 1
		}
	}
	if s.Direction != AnyDirection {
		conditions++
	}
	if s.Suspect != anomaly.NoSuspect {
		conditions++
	}
	return [3]int{conditions, bits, ports}
}

// String describes the selector, as in "port 443, server 10.0.0.0/8".
func (s *Selector) String() string {
	var parts []string
	if s.Ports != nil {
		var ports []string
		for _, r := range s.Ports {
			ports = append(ports, r.String())
		}
		parts = append(parts, "port "+strings.Join(ports, " or "))
	}
	for _, n := range []struct {
		what string
		nets Networks
	}{{"server", s.Server}, {"client", s.Client}, {"host", s.Host}} {
		if n.nets != nil {
			parts = append(parts, n.what+" "+n.nets.String())
		}
	}
	if s.Direction != AnyDirection {
		parts = append(parts, s.Direction.String())
	}
	if s.Suspect != anomaly.NoSuspect {
		parts = append(parts, "suspect "+s.Suspect.String())
	}
	if len(parts) == 0 {
		return "all connections"
	}
	return strings.Join(parts, ", ")
}
