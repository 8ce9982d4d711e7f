package main

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

var colorModes = []string{"auto", "always", "never"}

func colorFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "color", colorModes[0], oneOf("colours", colorModes)+"; auto: on terminals, unless NO_COLOR is set")
	complete(cmd, "color", colorModes)
}

// wantColor decides whether what is written to w is coloured.
func wantColor(mode string, w io.Writer) (bool, error) {
	switch mode {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto": // no-color.org: any value but the empty one
		return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", nil
	}
	return false, fmt.Errorf("%s", oneOf(fmt.Sprintf("--color %s: want one of", mode), colorModes))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth returns the columns of the terminal w. What is no terminal is as
// wide as COLUMNS says, or has no limit, 0.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 0
}
