package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"tcplife/decode/capture"
	"tcplife/report"
	"tcplife/report/anomaly"
)

const rootLong = `tcplife reads capture files and tells the life of every TCP connection in them,
for both ends: the RFC 9293 states, when they changed, which frame shows it, how
the connection ended, and what was wrong with it.

A file is pcap or pcapng, as it is or compressed by gzip, zstd, xz, lz4 or bzip2;
- is standard input. A directory stands for the captures in it. Several files are
one observation, merged by time, in which a connection may go on from file to
file. A file that has a command's name is given with its directory, as in ./rules.

FILTER is tcpdump's language, in one argument or several. It begins at the first
argument that names no file and has one of its words, such as port or not; -- before
it removes all doubt. Only the packets that it wants are analysed, and connections
are counted (ID) in these.

--conn, --state, --rule, --host and --port choose connections for the report, when all
packets have been looked at. Those that meet every one are shown; of several values
of one, separated by commas or with the flag repeated, any will do.

Exit status: 0 analysed; 2 wrong usage, or an input that could not be read to its
end. What could be read is reported all the same.

NO_COLOR turns colours off. COLUMNS is the width of the table where standard
output is no terminal.`

const rootExample = `  tcplife web.pcap                       a table, those with findings first
  tcplife -f summary *.pcap              totals only
  tcplife web.pcap 'port 443 and host 10.0.0.1'
  tcplife --state CLOSE_WAIT web.pcap    who leaks sockets
  tcplife -f jsonl web.pcap | jq -c 'select(.type=="connection") | .client.state'
  tcpdump -w - tcp | tcplife -           what tcpdump writes
  tcplife -f jsonl --follow now.pcap     a file that tcpdump is still writing
  tcplife --separate /var/captures       each capture in the directory for itself
  tcplife live -i eth0                   what happens now, on an interface
  tcplife explain web.pcap --conn 17     one connection, segment by segment
  tcplife rules close-wait               what a finding means`

// rootFlags are the flags of the main command.
type rootFlags struct {
	format     string
	output     string
	color      string
	track      trackFlags
	rules      ruleFlags
	limit      int
	packets    packetFlags
	only       selectionFlags
	separate   bool
	follow     bool
	quiet      bool
	verbose    bool
	noProgress bool
}

// extra is commands of other build configurations.
var extra []*cobra.Command

func newRoot() *cobra.Command {
	var f rootFlags
	cmd := &cobra.Command{
		Use:     "tcplife FILE... [FILTER]",
		Short:   "Tell the life of every TCP connection in capture files",
		Long:    rootLong,
		Example: rootExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no capture file given; tcplife --help tells more")
			}
			return nil
		},
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          f.run,
	}
	cmd.SetVersionTemplate("tcplife {{.Version}}\n")
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.format, "format", "f", report.Formats()[0], oneOf("format of the report", report.Formats()))
	fs.StringVarP(&f.output, "output", "o", "", "write the report to `FILE` instead of standard output")
	fs.IntVarP(&f.limit, "limit", "n", 100, "show at most `N` connections in the table; 0: all")
	f.packets.add(cmd)
	f.only.add(cmd)
	separateFlag(cmd, &f.separate)
	fs.BoolVar(&f.follow, "follow", false, "at the end of the file wait for what is still written to it, until interrupted")
	f.track.add(cmd)
	f.rules.add(cmd)
	colorFlag(cmd, &f.color)
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "tell too which rules could not be judged, and why")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no warnings and no progress on standard error")
	fs.BoolVar(&f.noProgress, "no-progress", false, "no progress on standard error")
	complete(cmd, "format", report.Formats())
	cmd.AddCommand(newExplain(), newCheck(), newInterfaces(), newPolicy(), newLive(), newRules(), newSchema())
	cmd.AddCommand(extra...)
	return cmd
}

// separateFlag adds the flag that keeps files apart.
func separateFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "separate", false, "analyse each file for itself, not all as one observation")
}

func oneOf(what string, names []string) string {
	for i, n := range names {
		sep := ", "
		if i == 0 {
			sep = ": "
		} else if i == len(names)-1 {
			sep = " or "
		}
		what += sep + n
	}
	return what
}

func complete(cmd *cobra.Command, flag string, values []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag does not exist
	}
}

// version returns the version that the module was built as.
func version() string {
	b, ok := debug.ReadBuildInfo()
	if !ok || b.Main.Version == "" {
		return "(devel)"
	}
	return b.Main.Version
}

func (f *rootFlags) run(cmd *cobra.Command, args []string) (err error) {
	config, err := f.track.config(cmd)
	if err != nil {
		return err
	}
	rules, err := f.rules.config(&f.track)
	if err != nil {
		return err
	}
	if f.limit < 0 {
		return fmt.Errorf("--limit %d: negative", f.limit)
	}
	args, filter, err := f.packets.take(cmd, args)
	if err != nil {
		return err
	}
	only, err := f.only.selection()
	if err != nil {
		return err
	}
	config.History = report.Foreign(f.format)
	a := &analysis{
		config:   config,
		checker:  anomaly.NewChecker(anomaly.All, rules),
		filter:   filter,
		only:     only,
		separate: f.separate,
	}
	stderr := cmd.ErrOrStderr()
	a.tell(stderr, f.quiet)
	if f.follow {
		if err := followed(args); err != nil {
			return err
		}
	}
	files := a.expand(args)
	if len(files) == 0 {
		return errTold
	}
	out := cmd.OutOrStdout()
	screen := out    // if that is a terminal
	var file *output // nil: standard output
	if f.output != "" && f.output != "-" {
		file, err = createOutput(f.output, files)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out, screen = file, file.File
	}
	color, err := wantColor(f.color, screen)
	if err != nil {
		return err
	}
	a.sink, err = report.New(f.format, out, report.Options{
		Color: color, Width: terminalWidth(screen), Limit: f.limit, Verbose: f.verbose, Explain: explainCommand(cmd, args, filter.expr),
	})
	if err != nil {
		return err
	}
	if _, ok := a.sink.(report.PacketSink); ok {
		if f.follow {
			return fmt.Errorf("--format %s reads the files a second time, so --follow does not go with it", f.format)
		}
		if err := rereadable(files); err != nil {
			return fmt.Errorf("--format %s: %w", f.format, err)
		}
	}
	if report.Binary(f.format) && isTerminal(screen) {
		return fmt.Errorf("--format %s is not for a terminal: name a file with --output", f.format)
	}
	if f.follow || slices.ContainsFunc(files, waits) {
		defer a.interruptible(f.follow)()
	}
	if !f.quiet && !f.noProgress && isTerminal(stderr) && !(isTerminal(screen) && streams(f.format)) {
		a.progress = newProgress(stderr)
		defer a.progress.stop()
	}
	a.run(files)
	a.missing()
	if s, ok := a.sink.(report.PacketSink); ok && a.writeErr == nil {
		a.writeErr = a.again(files, func(p *capture.Packet) error { return s.Packet(p, a.inputs.Name(p.Frame)) })
		if n := s.LeftOut(); n > 0 {
			a.note(fmt.Sprintf("%d comments had no place; --conn, --host and the like choose connections", n))
		}
	}
	if a.progress != nil {
		a.progress.stop()
	}
	if a.failed && (a.summary.Captures == 0 || a.filter.useless()) && a.writeErr == nil {
		return errTold // there is nothing to report on
	}
	if err := errors.Join(a.close(), file.begin()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if a.failed {
		return errTold
	}
	return nil
}

// interruptible lets the user end waiting for packets, and have the report then.
// What it returns undoes that. A second interrupt ends the program at once.
func (a *analysis) interruptible(follow bool) (undo func()) {
	ctx, undo := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, undo)
	a.options.Follow, a.options.Stop = follow, ctx.Done()
	a.stopped = func() bool { return ctx.Err() != nil }
	return undo
}

// streams reports whether the format's lines appear while packets are still read.
func streams(format string) bool { return format != "table" && format != "summary" }
