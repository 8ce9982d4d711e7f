//go:build unix

package main

import "tcplife/internal/bench/workload"

// A contender is a program that is measured. The capture's path is appended to
// its arguments.
type contender struct {
	name   string
	argv   []string
	env    []string
	counts func(stdout string, truth workload.Truth) error // nil: its output is dropped
}

// Names of contenders.
const (
	yardstick = "yardstick"
	oneWorker = "tcplife, one worker"
	allCores  = "tcplife, all cores"
	jsonLines = "tcplife, one worker, JSON lines"
)

var peers = []contender{
	{name: "tcpdump", argv: []string{"tcpdump", "-n", "-w", "/dev/null", "-r"}},
	{name: "capinfos", argv: []string{"capinfos", "-acdeuxy"}},
	{name: "tshark", argv: []string{"tshark", "-n", "-q", "-z", "conv,tcp", "-r"}},
}

func peerNames() (names []string) {
	for _, p := range peers {
		names = append(names, p.name)
	}
	return names
}

// tcplifeArgs is tcplife with the totals of all connections as its output.
func (b *bench) tcplifeArgs(r *result) []string {
	argv := []string{b.tcplife, "--format", "summary", "--no-progress"}
	if r.inProgress > 0 {
		argv = append(argv, "--memory-limit", "64G", "--time-wait", workload.CurveTimeWait.String()) // nothing is to be evicted
	}
	return argv
}

// contenders returns what runs on the workload.
func (b *bench) contenders(r *result) []contender {
	var all []contender
	if b.yardstick != "" {
		all = append(all, contender{name: yardstick, argv: []string{b.yardstick}, counts: sameYardstick})
	}
	args := b.tcplifeArgs(r)
	args = args[:len(args):len(args)]
	one := contender{name: oneWorker, argv: append(args, "--workers", "1"), counts: sameSummary}
	if !b.workers {
		one.argv, one.env = args, []string{"GOMAXPROCS=1"}
	}
	all = append(all, one)
	if r.inProgress == 0 {
		all = append(all, contender{name: allCores, argv: args, counts: sameSummary})
	}
	if r.name == "W2" {
		lines := one
		lines.name, lines.counts = jsonLines, nil
		lines.argv = append(append([]string{}, one.argv...), "--format", "jsonl")
		all = append(all, lines)
	}
	for _, name := range b.peers {
		for _, p := range peers {
			if p.name == name {
				all = append(all, p)
			}
		}
	}
	return all
}

// workerWords says how one worker was had.
func (b *bench) workerWords() string {
	if b.workers {
		return "--workers 1"
	}
	return "GOMAXPROCS=1"
}
