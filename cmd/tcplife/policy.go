package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tcplife/report"
	"tcplife/report/policy"
)

const policyLong = `A policy says what is expected of connections; tcplife check holds captures to it. It
is a YAML file, tcplife.yaml:

  version: 1
  fail: error                  findings of this severity and above break it
  tell: warn                   and those of this one are told
  set: {close-wait.after: 5s}  limits that rules go by, see tcplife rules NAME
  rules:                       what findings of a rule mean, whatever their severity
    close-wait: fail           or tell, ignore, the number that is allowed, or the
    connection-refused: 1%%     share of connections; or {from: warn, max: 3}
  limits:                      of numbers, see below
    handshake_time: {p99: 200ms, max: 2s}
    resets: 0.5%%
  home: [10.0.0.0/8]           from where inbound and outbound are seen
  for:                         for some connections, otherwise
    - name: database
      where: {port: 5432, server: 10.0.0.0/8, client: …, host: …,
              direction: inbound, suspect: network}
      rules: …                 and fail, tell, limits
  expect:                      connections that must exist, and end cleanly
    - {name: orders, where: {port: 5432}, at_least: 2, clean: true}
  allow:                       findings that are let pass until the end of a day
    - {rule: reset-by-client, where: {port: 80}, reason: TICKET-7, until: 2027-03-31}

Of the blocks that choose a connection and say something of a finding or a number,
the most specific holds: the one with more conditions, of these the one with
narrower networks, then ports, then the later in the file. A finding or a number
counts there, and nowhere else; a share is of the connections that are judged there.

Numbers that can be limited:
%s
A day is over by the capture's clock, in UTC, so that a capture is judged today as
it will be in a year.`

func newPolicy() *cobra.Command {
	var numbers strings.Builder
	for _, m := range policy.Metrics {
		fmt.Fprintf(&numbers, "  %-20s %s\n", m.Name, wrap(m.Doc, 60, 23))
	}
	cmd := &cobra.Command{
		Use:     "policy",
		Short:   "Write, test and describe policies",
		Long:    fmt.Sprintf(policyLong, numbers.String()),
		Example: "  tcplife policy init good.pcap > tcplife.yaml\n  tcplife policy test run.pcap",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(newPolicyInit(), newPolicyTest(), newPolicySchema())
	return cmd
}

// wrap breaks a text into lines of a width, all but the first of them indented.
func wrap(text string, width, indent int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = 0
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// judgeFlags are the flags of commands that hold files to a policy and do not give a
// verdict.
func judgeFlags(cmd *cobra.Command, f *checkFlags) {
	f.packets.add(cmd)
	separateFlag(cmd, &f.separate)
	f.track.add(cmd)
	f.rules.add(cmd)
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "no warnings on standard error")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("no capture file given; %s --help tells more", cmd.CommandPath())
		}
		return nil
	}
}

func newPolicyInit() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "init FILE... [FILTER]",
		Short: "Write a policy that the captures of a good run keep",
		Long: `init writes a policy to standard output that the given captures keep, with room for
twice of what was seen, which stands beside each line.`,
		Example: "  tcplife policy init good.pcap > tcplife.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			args, filter, err := f.packets.take(cmd, args)
			if err != nil {
				return err
			}
			p, err := policy.Parse("", []byte("version: 1\n"))
			if err != nil {
				return err
			}
			v, err := f.judge(cmd, p, args, filter)
			if err != nil {
				return err
			}
			if v.Connections == 0 {
				return errors.New("no connections: a policy from them would expect nothing")
			}
			_, err = cmd.OutOrStdout().Write(policy.Suggest(v))
			return err
		},
	}
	judgeFlags(cmd, &f)
	return cmd
}

func newPolicyTest() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "test FILE... [FILTER]",
		Short: "Tell how each part of a policy applies to captures",
		Long: `test tells, the most specific first, how many connections each block of the policy
chooses and what came of its checks; then what came of the expectations, and how
many findings the exceptions let pass. It succeeds also where the policy is broken.
With --conn it tells by which block each finding and number of one connection is
judged.`,
		Example: "  tcplife policy test run.pcap\n  tcplife policy test --policy ci/tcplife.yaml captures/\n  tcplife policy test run.pcap --conn 17",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := loadPolicy(f.policy)
			if err != nil {
				return err
			}
			args, filter, err := f.packets.take(cmd, args)
			if err != nil {
				return err
			}
			v, err := f.judge(cmd, p, args, filter)
			if v == nil {
				return err
			}
			if f.trace != 0 {
				return errors.Join(tellTrace(cmd.OutOrStdout(), f.trace, v), err)
			}
			return errors.Join(tellApplied(cmd.OutOrStdout(), v), err)
		},
	}
	policyFlag(cmd, &f.policy)
	cmd.Flags().Uint64VarP(&f.trace, "conn", "c", 0, "tell how the connection with this `ID` is judged")
	judgeFlags(cmd, &f)
	return cmd
}

// tellTrace tells how one connection is judged.
func tellTrace(out io.Writer, conn uint64, v *policy.Verdict) error {
	if len(v.Trace) == 0 {
		return fmt.Errorf("no connection %d: the files hold %d", conn, v.Connections)
	}
	_, err := io.WriteString(out, report.Printable(v.Trace[0])+"\n")
	for _, line := range v.Trace[1:] {
		_, err2 := io.WriteString(out, "    "+report.Printable(line)+"\n")
		err = errors.Join(err, err2)
	}
	return err
}

// tellApplied tells how each part of the policy applied.
func tellApplied(out io.Writer, v *policy.Verdict) error {
	var b strings.Builder
	results := func(kind policy.Kind, scope string, all bool) {
		for i := range v.Results {
			r := &v.Results[i]
			if r.Kind != kind || r.Scope != scope || !all && r.Status == policy.Kept && r.Kind == policy.RuleCheck {
				continue
			}
			fmt.Fprintf(&b, "    %-7s %s: %s (line %d)\n", r.Status, report.Printable(r.Kind.String()+" "+r.Name), report.Printable(r.Message), r.Line)
		}
	}
	for _, a := range v.Blocks {
		scope := a.Name
		if a.Block == v.Policy.Blocks[0] {
			scope = ""
			b.WriteString("all connections")
		} else {
			fmt.Fprintf(&b, "line %d: %s", a.Line, report.Printable(a.Where.String()))
			if a.Name != a.Where.String() {
				fmt.Fprintf(&b, " (%s)", report.Printable(a.Name))
			}
		}
		fmt.Fprintf(&b, ": %d of %d connections\n", a.Connections, v.Connections)
		if a.Connections == 0 && v.Connections > 0 {
			b.WriteString("    chooses none: is this what was meant?\n")
		}
		results(policy.RuleCheck, scope, scope != "")
		results(policy.LimitCheck, scope, true)
	}
	if len(v.Policy.Expect) > 0 {
		b.WriteString("expected\n")
		results(policy.ExpectCheck, "", true)
	}
	if len(v.Exceptions) > 0 {
		b.WriteString("allowed\n")
	}
	for _, x := range v.Exceptions {
		state := fmt.Sprintf("findings let pass: %d", x.Findings)
		if x.Over {
			state += ", and has run out"
		}
		fmt.Fprintf(&b, "    line %d: %s, %s, until %s: %s\n", x.Line, x.Rule.Name, report.Printable(x.Where.String()), x.LastDay(), state)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func newPolicySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policies",
		Long: `schema prints the JSON Schema of policies, with the rules and numbers that this
tcplife has. Editors complete and check by it: put it beside the policy, whose first
line then is

  # yaml-language-server: $schema=tcplife-policy.schema.json`,
		Example: "  tcplife policy schema > tcplife-policy.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(policy.Schema())
			return err
		},
	}
}
