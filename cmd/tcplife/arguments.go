package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tcplife/decode/filter"
)

// splitArgs tells the files from the filter behind them. What stands behind "--" is
// the filter, if files stand before it; dash is how many arguments do, -1 if there
// is no "--". Otherwise the filter begins where beginsFilter says, and has all that
// follows.
func splitArgs(args []string, dash int) (files []string, expr string, err error) {
	at := dash
	if at <= 0 { // "tcplife -- -odd-name.pcap" has its files behind it
		at = slices.IndexFunc(args, func(arg string) bool { return arg == "--" || beginsFilter(arg) })
	}
	if at < 0 {
		at = len(args)
	}
	files, words := args[:at], args[at:]
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(files) == 0 {
		return nil, "", errors.New("no capture file given, only a filter")
	}
	return files, strings.Join(words, " "), nil
}

// beginsFilter reports whether an argument belongs to the filter: it names no
// file, and it has a word of the filter language in it or is an address, to which
// the filter's own message can tell what it lacks. What ends as the names of
// captures do is a file that is missing.
func beginsFilter(arg string) bool {
	if arg == "-" || isFile(arg) || slices.Contains(captureSuffixes, strings.ToLower(filepath.Ext(arg))) {
		return false
	}
	if _, err := netip.ParseAddr(arg); err == nil {
		return true
	}
	// A slash is no separator: captures/tcp is a file.
	words := strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(" \t\r\n()[]!&|<>=:", r) })
	return slices.ContainsFunc(words, filter.Keyword)
}

// captureSuffixes are those that tcpdump, Wireshark and compressors have in their
// manuals.
var captureSuffixes = []string{
	".pcap", ".pcapng", ".cap", ".dmp", ".ntar", ".dump",
	".gz", ".zst", ".xz", ".lz4", ".bz2",
}

// isFile reports whether a file has that name, or the name is a pattern that one
// matches.
func isFile(name string) bool {
	if _, err := os.Lstat(name); err == nil {
		return true
	}
	matches, err := filepath.Glob(name)
	return err == nil && len(matches) > 0
}
