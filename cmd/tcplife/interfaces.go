package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tcplife/decode/capture/live"
	"tcplife/report"
)

func newInterfaces() *cobra.Command {
	return &cobra.Command{
		Use:   "interfaces",
		Short: "List the interfaces that packets can be captured from",
		Long: `interfaces lists the interfaces that packets can be captured from, with their
addresses. The name any stands for all of them, also those that appear later.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := live.Interfaces()
			if err != nil {
				return fmt.Errorf("listing the interfaces: %w", err)
			}
			width := 0
			for _, i := range list {
				width = max(width, len(report.Printable(i.Name)))
			}
			for _, i := range list {
				state := "down"
				if i.Up {
					state = "up"
				}
				line := fmt.Sprintf("%-*s  %-4s", width, report.Printable(i.Name), state)
				if i.Description != "" {
					line += "  " + report.Printable(i.Description)
				}
				line += "  " + strings.Join(i.Addrs, " ")
				fmt.Fprintln(cmd.OutOrStdout(), strings.TrimRight(line, " "))
			}
			return nil
		},
	}
}
