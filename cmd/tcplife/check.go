package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tcplife/report/anomaly"
	"tcplife/report/ci"
	"tcplife/report/policy"
)

const checkLong = `check holds captured traffic to a policy, so that a build can fail when the software
leaks connections, is reset, or has trouble to connect. It prints what is broken
first, with the connections that show it and the commands that print them.

The policy is tcplife.yaml in the working directory, or the file that --policy names.
Without one, or with --policy default, findings of severity error and leaks break
it, and warnings are told. tcplife policy init writes one from a good run.

With --baseline, an earlier run is what counts: what was broken then too is told and
breaks nothing, and what is new since or worse breaks the policy, also where the
policy would let it pass. Runs of different length are compared by shares and
percentiles, and only differences that are no chance count.

--report writes the verdict for other readers; it may be given several times. A report
without a file goes to standard output, in place of the text.

With -i, check captures while a command runs, and judges what was captured: the
tests of a service, say. It needs the right to capture, the command does not. When
the command is over, connections have a moment (--settle) to end. If the command
fails, so does check, with the command's exit status, after the verdict. Ctrl-C is
the command's; a second one, or SIGTERM, ends it, and then the waiting.

Exit status: 0 the policy is kept; 1 it is broken; 2 trouble: wrong usage, a wrong
policy, or an input that could not be read to its end. With -i, that of the command
if it fails; standard error tells them apart.`

const checkExample = `  tcplife check run.pcap
  tcplife check --policy ci/tcplife.yaml captures/
  tcplife check --report junit=tcplife.xml --report sarif=tcplife.sarif run.pcap
  tcplife check --report text --report github run.pcap
  tcplife check --report json=good.json good.pcap
  tcplife check --baseline good.json run.pcap
  tcplife check -i lo -- go test ./...
  tcplife check -i lo --write run.pcapng port 5432 -- npm test`

// errBroken is returned where the policy is broken, which the verdict has told.
var errBroken = errors.New("policy broken")

// checkFlags are the flags of check.
type checkFlags struct {
	policy   string
	baseline string
	reports  []string
	track    trackFlags
	rules    ruleFlags
	packets  packetFlags
	separate bool
	quiet    bool
	around   aroundFlags
	trace    uint64 // a connection, for policy test
}

func newCheck() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:     "check FILE... [FILTER] | check -i INTERFACE [FILTER] -- COMMAND",
		Short:   "Hold captured traffic to a policy",
		Long:    checkLong,
		Example: checkExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && len(f.around.interfaces) == 0 {
				return errors.New("no capture file given; tcplife check --help tells more")
			}
			return nil
		},
		RunE: f.run,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	policyFlag(cmd, &f.policy)
	fs.StringVar(&f.baseline, "baseline", "", "compare with the `FILE` that --report json wrote of a good run: what was broken then is told, what is new or worse breaks the policy")
	fs.StringArrayVar(&f.reports, "report", nil, "write a `REPORT[=FILE]` of the verdict: "+strings.Join(ci.Formats(), ", "))
	f.around.add(cmd)
	f.packets.add(cmd)
	separateFlag(cmd, &f.separate)
	f.track.add(cmd)
	f.rules.add(cmd)
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no warnings on standard error")
	complete(cmd, "report", ci.Formats())
	return cmd
}

// policyFlag adds the flag that names the policy.
func policyFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "policy", "p", "", "the policy's `FILE` (default "+policy.FileName+" if it is there, else the one that is built in: "+policy.DefaultName+")")
}

// loadPolicy reads the policy of that name, or the one there is.
func loadPolicy(name string) (*policy.Policy, error) {
	if name == "" {
		name = policy.FileName
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			name = policy.DefaultName
		}
	}
	return policy.Load(name)
}

func (f *checkFlags) run(cmd *cobra.Command, args []string) error {
	p, err := loadPolicy(f.policy)
	if err != nil {
		return err
	}
	reports, err := parseReports(f.reports)
	if err != nil {
		return err
	}
	then, err := f.readBaseline()
	if err != nil {
		return err
	}
	if len(f.around.interfaces) > 0 {
		return f.runAround(cmd, args, p, then, reports)
	}
	if err := f.around.unused(cmd); err != nil {
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
	return errors.Join(tell(cmd.OutOrStdout(), reports, v, then), err)
}

// readBaseline reads the record of an earlier run, nil if none is named.
func (f *checkFlags) readBaseline() (*policy.Record, error) {
	if f.baseline == "" {
		return nil, nil
	}
	file, err := os.Open(f.baseline)
	if err != nil {
		return nil, fmt.Errorf("--baseline: %w", err)
	}
	defer file.Close()
	then, err := policy.ReadRecord(file)
	if err != nil {
		return nil, fmt.Errorf("--baseline %s: %w", f.baseline, err)
	}
	return then, nil
}

// judge holds the files to the policy. Where they could not be read to their end,
// there are a verdict and an error; where there is nothing to judge, only an error.
func (f *checkFlags) judge(cmd *cobra.Command, p *policy.Policy, args []string, filter packetFilter) (*policy.Verdict, error) {
	config, err := f.track.config(cmd)
	if err != nil {
		return nil, err
	}
	f.rules.set = slices.Concat(p.Set, f.rules.set) // of two, the later holds
	rules, err := f.rules.config(&f.track)
	if err != nil {
		return nil, err
	}
	j := policy.NewJudge(p)
	j.Trace = f.trace
	if explain := explainCommand(cmd, args, filter.expr); explain != nil {
		j.Explain = func(conn uint64, rule string) string { return explain(conn) + settingsOf(rule, f.rules.set) }
	}
	a := &analysis{
		config:   config,
		checker:  anomaly.NewChecker(anomaly.All, rules),
		sink:     j,
		filter:   filter,
		separate: f.separate,
	}
	a.tell(cmd.ErrOrStderr(), f.quiet)
	files := a.expand(args)
	if len(files) == 0 {
		return nil, errTold
	}
	a.run(files)
	if a.failed && (a.summary.Captures == 0 || a.filter.useless()) {
		return nil, errTold // there is nothing to judge
	}
	if err := a.close(); err != nil {
		return nil, err
	}
	if a.failed {
		return j.Verdict(), errTold
	}
	return j.Verdict(), nil
}

// settingsOf returns the flags that set what a rule goes by: what it found with these
// it may not find without.
func settingsOf(rule string, set []string) (flags string) {
	for i, s := range set {
		name, _, _ := strings.Cut(s, "=")
		again := slices.ContainsFunc(set[i+1:], func(later string) bool { return strings.HasPrefix(later, name+"=") })
		if strings.HasPrefix(s, rule+".") && !again {
			flags += " --set " + shellQuote(s)
		}
	}
	return flags
}

// tell writes the reports, of a comparison if there was an earlier run, and returns
// errBroken if the policy is. Files come first, and a report that can't be written
// costs no other: who reads standard output may have gone.
func tell(stdout io.Writer, reports []reportTo, v *policy.Verdict, then *policy.Record) error {
	if then != nil {
		v.Against(then)
	}
	var failed []error
	for _, toFile := range []bool{true, false} {
		for _, r := range reports {
			if toFile == (r.file != "") {
				failed = append(failed, r.write(stdout, v))
			}
		}
	}
	if v.Broken() {
		failed = append(failed, errBroken)
	}
	return errors.Join(failed...)
}

// A reportTo is a report and where it goes.
type reportTo struct{ format, file string }

// parseReports reads the values of --report. One goes to standard output in any case.
func parseReports(values []string) ([]reportTo, error) {
	var list []reportTo
	toStdout := false
	for _, v := range values {
		format, file, named := strings.Cut(v, "=")
		switch {
		case !slices.Contains(ci.Formats(), format):
			return nil, fmt.Errorf("--report %s: no such report; there are %s", v, strings.Join(ci.Formats(), ", "))
		case named && file == "":
			return nil, fmt.Errorf("--report %s: no file behind the =", v)
		case file == "-":
			file = ""
		}
		toStdout = toStdout || file == ""
		list = append(list, reportTo{format, file})
	}
	if !toStdout {
		list = append([]reportTo{{format: ci.Formats()[0]}}, list...)
	}
	return list, nil
}

func (r *reportTo) write(stdout io.Writer, v *policy.Verdict) error {
	var b bytes.Buffer
	if err := ci.Write(&b, r.format, v); err != nil {
		return fmt.Errorf("report %s: %w", r.format, err)
	}
	var err error
	if r.file == "" {
		_, err = stdout.Write(b.Bytes())
	} else {
		err = os.WriteFile(r.file, b.Bytes(), 0o666)
	}
	if err != nil {
		return fmt.Errorf("report %s: %w", r.format, err)
	}
	return nil
}
