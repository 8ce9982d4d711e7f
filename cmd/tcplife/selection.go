package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// selectionFlags say which connections are reported.
type selectionFlags struct {
	conns                       []uint
	states, rules, hosts, ports []string
}

func (f *selectionFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.UintSliceVarP(&f.conns, "conn", "c", nil, "show only connections with this `ID`")
	fs.Lookup("conn").DefValue = "" // pflag would show it as []
	fs.StringSliceVar(&f.states, "state", nil, "show only connections of which an end was in this `STATE` at the end, such as CLOSE_WAIT or client=FIN_WAIT_2")
	fs.StringSliceVar(&f.rules, "rule", nil, "show only connections with a finding of this `RULE`")
	fs.StringSliceVar(&f.hosts, "host", nil, "show only connections of this `ADDRESS` or network, such as 10.0.0.0/8")
	fs.StringSliceVar(&f.ports, "port", nil, "show only connections of this `PORT`, at either end")
	completeList(cmd, "state", stateCompletions())
	completeList(cmd, "rule", ruleCompletions())
}

// A selection tells which connections are reported: those that meet every
// condition. A condition without values is met.
type selection struct {
	conns  []uint64
	states []endState
	rules  []*anomaly.Rule
	hosts  []netip.Prefix
	ports  []uint16
}

// endState is a state of either end, or of one.
type endState struct {
	state  track.State
	client bool // the client may have it
	server bool
}

// selection checks the flags' values.
func (f *selectionFlags) selection() (s selection, err error) {
	for _, id := range f.conns {
		if id == 0 {
			return s, errors.New("--conn 0: IDs count from 1")
		}
		s.conns = append(s.conns, uint64(id))
	}
	for _, v := range f.states {
		st, err := parseEndState(v)
		if err != nil {
			return s, fmt.Errorf("--state %s: %w", v, err)
		}
		s.states = append(s.states, st)
	}
	for _, v := range f.rules {
		r := anomaly.Find(v)
		if r == nil {
			return s, fmt.Errorf("--rule %s: no such rule; there are %s", v, strings.Join(ruleNames(), ", "))
		}
		s.rules = append(s.rules, r)
	}
	for _, v := range f.hosts {
		p, err := parseNet(v)
		if err != nil {
			return s, fmt.Errorf("--host %s: %w", v, err)
		}
		s.hosts = append(s.hosts, p)
	}
	for _, v := range f.ports {
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil {
			return s, fmt.Errorf("--port %s: want a number to 65535", v)
		}
		s.ports = append(s.ports, uint16(n))
	}
	return s, nil
}

// wants reports whether the connection is reported.
func (s *selection) wants(c *report.Connection) bool {
	cli, srv := c.Client(), c.Server()
	return met(s.conns, func(id uint64) bool { return id == c.ID }) &&
		met(s.ports, func(p uint16) bool { return p == cli.Port() || p == srv.Port() }) &&
		met(s.hosts, func(p netip.Prefix) bool { return p.Contains(cli.Addr().IP()) || p.Contains(srv.Addr().IP()) }) &&
		met(s.states, func(st endState) bool {
			return st.client && cli.State() == st.state || st.server && srv.State() == st.state
		}) &&
		met(s.rules, func(r *anomaly.Rule) bool {
			return slices.ContainsFunc(c.Findings, func(f anomaly.Finding) bool { return f.Rule == r })
		})
}

// wantsFinding reports whether a finding about several connections is reported:
// unless its rule, address, port or none of its connections was asked for.
func (s *selection) wantsFinding(f *anomaly.Finding) bool {
	return len(s.states) == 0 &&
		met(s.conns, func(id uint64) bool { return slices.Contains(f.Conns, id) }) &&
		met(s.ports, func(p uint16) bool { return p == f.Port }) &&
		met(s.hosts, func(p netip.Prefix) bool { return p.Contains(f.Addr.IP()) }) &&
		met(s.rules, func(r *anomaly.Rule) bool { return r == f.Rule })
}

func met[T any](values []T, by func(T) bool) bool {
	return len(values) == 0 || slices.ContainsFunc(values, by)
}

// stateNames are the names of the states, as reports have them.
func stateNames() []string {
	var names []string
	for s := track.Unknown; s <= track.TimeWait; s++ {
		names = append(names, s.String())
	}
	return names
}

// otherNames are what ss and netstat call states otherwise.
var otherNames = map[string]track.State{
	"ESTAB": track.Established, "SYNRECV": track.SynReceived, "SYNRECEIVED": track.SynReceived,
}

// parseEndState reads "CLOSE_WAIT" or "client=FIN_WAIT_2". Case does not matter, nor
// how the words of a name are joined: ss writes CLOSE-WAIT, netstat FIN_WAIT2.
func parseEndState(text string) (s endState, err error) {
	side, name, ok := strings.Cut(text, "=")
	if !ok {
		side, name = "", text
	}
	switch strings.ToLower(side) {
	case "client":
		s.client = true
	case "server":
		s.server = true
	default:
		if ok {
			return s, fmt.Errorf("%q is no end; it is client or server", side)
		}
		s.client, s.server = true, true
	}
	plain := func(name string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToUpper(name)) }
	if s.state, ok = otherNames[plain(name)]; ok {
		return s, nil
	}
	names := stateNames()
	at := slices.IndexFunc(names, func(n string) bool { return plain(n) == plain(name) })
	if at < 0 {
		return s, fmt.Errorf("no such state; there are %s", strings.Join(names, ", "))
	}
	s.state = track.Unknown + track.State(at)
	return s, nil
}

// parseNet reads an address, which is a network of one, or a network.
func parseNet(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil && !p.Addr().Is4In6() {
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, errors.New("want an address or a network such as 10.0.0.0/8")
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// ruleNames are the names of the rules.
func ruleNames() []string {
	var names []string
	for _, r := range anomaly.All {
		names = append(names, r.Name)
	}
	return names
}

// ruleCompletions are the names of the rules with their titles.
func ruleCompletions() []string {
	var names []string
	for _, r := range anomaly.All {
		names = append(names, r.Name+"\t"+r.Title())
	}
	return names
}

// completeList has the shell complete the last of several values with commas
// between them.
func completeList(cmd *cobra.Command, flag string, values []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		at := strings.LastIndex(begun, ",") + 1
		var list []string
		for _, v := range values {
			if strings.HasPrefix(v, begun[at:]) {
				list = append(list, begun[:at]+v)
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag does not exist
	}
}

// stateCompletions are the values of --state.
func stateCompletions() []string {
	values := stateNames()
	for _, end := range []string{"client=", "server="} {
		for _, n := range stateNames() {
			values = append(values, end+n)
		}
	}
	return values
}
