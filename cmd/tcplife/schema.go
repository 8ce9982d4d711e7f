package main

import (
	"github.com/spf13/cobra"

	"tcplife/report/schema"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the output",
		Long:    "schema prints the JSON Schema that every line of --format jsonl keeps to.",
		Example: "  tcplife schema > tcplife-1.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(schema.JSON)
			return err
		},
	}
}
