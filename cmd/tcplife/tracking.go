package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tcplife/track"
)

// trackFlags are the flags of how connections are tracked. They must be the same
// for explain as they were for the report.
type trackFlags struct {
	timeWait time.Duration
	memory   size
}

// defaultMemory is enough for about ten million connections at a time.
const defaultMemory size = 4 << 30

func (f *trackFlags) add(cmd *cobra.Command) {
	f.memory = defaultMemory
	cmd.Flags().DurationVar(&f.timeWait, "time-wait", time.Minute, "how long TIME_WAIT lasts; Linux has 60s, Windows 2m, macOS 30s")
	cmd.Flags().Var(&f.memory, "memory-limit", "how much memory connections may take: 512M, 4G; beyond, the longest idle are evicted")
}

// maxTimeWait is far above any system's, and RFC 9293's 4 minutes.
const maxTimeWait = 24 * time.Hour

// config checks the flags.
func (f *trackFlags) config() (track.Config, error) {
	switch {
	case f.timeWait <= 0:
		return track.Config{}, fmt.Errorf("--time-wait %v: not a positive duration", f.timeWait)
	case f.timeWait > maxTimeWait:
		return track.Config{}, fmt.Errorf("--time-wait %v: longer than %v", f.timeWait, maxTimeWait)
	}
	return track.Config{TimeWait: f.timeWait, MaxBytes: int(f.memory)}, nil
}

// A size is a number of octets, as a flag.
type size int

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
			return fmt.Sprint(int(*s/u.size), u.name)
		}
	}
	return strconv.Itoa(int(*s))
}

// Type names the value in the help.
func (s *size) Type() string { return "SIZE" }
