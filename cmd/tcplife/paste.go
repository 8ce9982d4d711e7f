package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tcplife/report"
)

// sameConnections are the flags that say which packets are looked at and how
// connections are told apart: IDs are the same only where these are.
var sameConnections = []string{"since", "until", "separate", "stack", "time-wait", "memory-limit", "zeek-compat"}

// explainCommand returns what makes a command to paste, which shows a connection of
// this run segment by segment. It is nil where a file can't be read again.
func explainCommand(cmd *cobra.Command, files []string, filter string) func(conn uint64) string {
	if slices.ContainsFunc(files, func(f string) bool { return f == "-" || waits(f) }) {
		return nil
	}
	words := []string{"tcplife explain"}
	for _, f := range files {
		if strings.HasPrefix(f, "-") {
			f = "./" + f // or it would be taken for a flag
		}
		words = append(words, shellQuote(f))
	}
	if filter != "" {
		words = append(words, "--filter "+shellQuote(filter))
	}
	for _, name := range sameConnections {
		switch f := cmd.Flags().Lookup(name); {
		case !f.Changed:
		case f.Value.Type() == "bool":
			words = append(words, "--"+name)
		default:
			words = append(words, shellQuote("--"+name+"="+f.Value.String()))
		}
	}
	prefix := strings.Join(words, " ")
	return func(conn uint64) string { return fmt.Sprintf("%s --conn %d", prefix, conn) }
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// shellQuote returns the word as a shell reads it, and a terminal can show it.
func shellQuote(word string) string {
	switch {
	case plainWord.MatchString(word):
		return word
	case word == report.Printable(word):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	var b strings.Builder // bash, zsh, ksh, and POSIX since 2024 have $'…'
	for _, c := range []byte(word) {
		if c < ' ' || c >= 0x7f || c == '\'' || c == '\\' {
			fmt.Fprintf(&b, `\%03o`, c) // three digits and no more, unlike \x
		} else {
			b.WriteByte(c)
		}
	}
	return "$'" + b.String() + "'"
}
