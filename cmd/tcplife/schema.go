package main

import (
	"github.com/spf13/cobra"

	"tcplife/report/ci"
	"tcplife/report/schema"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [check]",
		Short: "Print the JSON Schema of the output",
		Long: `schema prints the JSON Schema that every line of --format jsonl keeps to; schema
check that of check --report json. tcplife policy schema prints that of policies.`,
		Example:   "  tcplife schema > tcplife-1.schema.json\n  tcplife schema check > tcplife-check-1.schema.json",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"check"},
		RunE: func(cmd *cobra.Command, args []string) error {
			text := schema.JSON
			if len(args) > 0 {
				text = ci.Schema
			}
			_, err := cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
