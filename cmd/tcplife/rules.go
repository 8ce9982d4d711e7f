package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tcplife/report/anomaly"
)

func newRules() *cobra.Command {
	return &cobra.Command{
		Use:   "rules [NAME]",
		Short: "List the rules, or explain one",
		Long: `rules lists the rules that findings come from. Given the name of one, it explains
what the rule looks for, the usual cause, and when it is harmless or silent, and
lists the limits that --set changes.`,
		Example: "  tcplife rules\n  tcplife rules close-wait",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if len(args) == 0 {
				names = ruleCompletions()
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			if len(args) == 0 {
				for _, r := range anomaly.All {
					fmt.Fprintf(out, "%-22s %-5v %s\n", r.Name, r.Severity, r.Title())
				}
				return nil
			}
			r := anomaly.Find(args[0])
			if r == nil {
				return fmt.Errorf("no rule %q; tcplife rules lists them", args[0])
			}
			fmt.Fprint(out, explainRule(r))
			return nil
		},
	}
}

// explainRule returns what there is to say of a rule.
func explainRule(r *anomaly.Rule) string {
	_, text, _ := strings.Cut(r.Doc, "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%v): %s\n%s\n\nSee %s.\n", r.Name, r.Severity, r.Title(), text, r.Ref)
	for _, s := range r.Settings {
		fmt.Fprintf(&b, "\n--set %s.%s=%v\n    %s.\n", r.Name, s.Name, s, s.Why)
	}
	if len(r.Explains) > 0 {
		fmt.Fprintf(&b, "\nWhere it holds, these are left out, which are its echoes: %s.\n", strings.Join(r.Explains, ", "))
	}
	return b.String()
}
