package main

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tcplife/report/anomaly"
	"tcplife/track"
)

// trackFlags are the flags of how connections are tracked. They must be the same
// for explain as they were for the report.
type trackFlags struct {
	stack      string
	timeWait   time.Duration // 0: the stack's
	memory     size
	zeekCompat bool
	workers    int
}

// defaultMemory is enough for about ten million connections at a time.
const defaultMemory size = 4 << 30

// unknownMemory is what a machine is taken to have that doesn't tell.
const unknownMemory size = 4 << 30

func (f *trackFlags) add(cmd *cobra.Command) {
	f.memory = defaultMemory
	cmd.Flags().StringVar(&f.stack, "stack", anomaly.StackNames()[0], oneOf("the hosts' system, which sets how long TIME_WAIT lasts and which ports clients use", anomaly.StackNames()))
	cmd.Flags().DurationVar(&f.timeWait, "time-wait", 0, "how long TIME_WAIT lasts, if not as the --stack has it: "+timeWaits())
	complete(cmd, "stack", anomaly.StackNames())
	cmd.Flags().Var(&f.memory, "memory-limit", "how much memory connections may take: 512M, 4G; beyond, unfinished handshakes and the longest idle are evicted")
	cmd.Flags().IntVar(&f.workers, "workers", runtime.GOMAXPROCS(0), "over how many threads connections are spread, 1 to 8; the report is the same for any")
	cmd.Flags().Lookup("workers").DefValue = "one for each core"
	cmd.Flags().BoolVar(&f.zeekCompat, "zeek-compat", false, "split connections where Zeek does, by its timers too, to compare row by row")
}

// maxTimeWait is far above any system's, and RFC 9293's 4 minutes.
const maxTimeWait = 24 * time.Hour

// config checks the flags.
func (f *trackFlags) config(cmd *cobra.Command) (track.Config, error) {
	stack := anomaly.FindStack(f.stack)
	if stack == nil {
		return track.Config{}, fmt.Errorf("--stack %s: want %s", f.stack, strings.Join(anomaly.StackNames(), ", "))
	}
	switch {
	case !cmd.Flags().Changed("time-wait"):
		f.timeWait = stack.TimeWait
	case f.timeWait <= 0:
		return track.Config{}, fmt.Errorf("--time-wait %v: not a positive duration", f.timeWait)
	case f.timeWait > maxTimeWait:
		return track.Config{}, fmt.Errorf("--time-wait %v: longer than %v", f.timeWait, maxTimeWait)
	}
	if f.workers < 1 {
		return track.Config{}, fmt.Errorf("--workers %d: want at least 1", f.workers)
	}
	return track.Config{TimeWait: f.timeWait, MaxBytes: int(min(f.memory, math.MaxInt)), Workers: f.workers, ZeekSplit: f.zeekCompat}, nil
}

// timeWaits tells how long TIME_WAIT lasts on each stack.
func timeWaits() string {
	var all []string
	for _, s := range anomaly.Stacks {
		all = append(all, fmt.Sprintf("%s %v", s.Name, time.Duration(s.TimeWait)))
	}
	return strings.Join(all, ", ")
}

// ruleFlags are the flags of what rules go by.
type ruleFlags struct{ set []string }

func (f *ruleFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "`RULE.SETTING=VALUE`: change a limit of a rule, such as close-wait.after=30s; tcplife rules RULE lists them")
	err := cmd.RegisterFlagCompletionFunc("set", cobra.FixedCompletions(settingCompletions(), cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag does not exist
	}
}

// config checks the flags, of which --stack is one of how connections are tracked.
func (f *ruleFlags) config(t *trackFlags) (anomaly.Config, error) {
	stack := *anomaly.FindStack(t.stack)
	stack.TimeWait = t.timeWait
	c := anomaly.Config{Stack: &stack}
	for _, s := range f.set {
		if err := c.Set(s); err != nil {
			return c, fmt.Errorf("--set %s: %w", s, err)
		}
	}
	return c, nil
}

// settingCompletions are the names of the settings with the reason for their
// defaults.
func settingCompletions() []string {
	var names []string
	for _, r := range anomaly.All {
		for _, s := range r.Settings {
			names = append(names, fmt.Sprintf("%s.%s=\t%v: %s", r.Name, s.Name, s, s.Why))
		}
	}
	return names
}

// A size is a number of octets, as a flag.
type size int64

const minMemory size = 1 << 20

var units = []struct {
	name string
	size size
}{{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

// Set reads a number with K, M or G for powers of 1024.
func (s *size) Set(text string) error {
	digits, unit := strings.ToUpper(strings.TrimSuffix(strings.TrimSuffix(text, "B"), "i")), size(1)
	for _, u := range units {
		if d, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = d, u.size
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 40)
	if err != nil {
		return fmt.Errorf("%q is no size such as 512M or 4G", text)
	}
	if v := size(n) * unit; v >= minMemory && v/unit == size(n) {
		*s = v
		return nil
	}
	return fmt.Errorf("%q is not between 1M and what memory can be", text)
}

func (s *size) String() string {
	for _, u := range units {
		if *s >= u.size && *s%u.size == 0 {
			return fmt.Sprint(int64(*s/u.size), u.name)
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type names the value in the help.
func (s *size) Type() string { return "SIZE" }
