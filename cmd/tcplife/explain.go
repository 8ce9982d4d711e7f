package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/report/ladder"
)

const explainLong = `explain prints one connection as a ladder: a line per segment, with the client and
its state on the left, the server and its state on the right. States are those
after the segment was sent or arrived; what a later segment showed to be wrong
is corrected in the line of that segment. Numbers are relative to the first of
each end. After the states come the frame number and what is noteworthy:
retransmission, keep-alive, zero-window and so on.

Connections are counted (ID) in the packets that are looked at, so a filter, --since
and --until must be as they were for the report.

With --pcap the connection's packets are written to a file of their own, in a second
pass over the files, ICMP errors about it and all IP fragments of its segments among them.

The ladder is in the notation of the project's own test scripts.`

func newExplain() *cobra.Command {
	var f struct {
		conn uint64
		pcap string
		rootFlags
	}
	cmd := &cobra.Command{
		Use:     "explain FILE... [FILTER] --conn ID",
		Short:   "Print one connection segment by segment, with both ends' states",
		Long:    explainLong,
		Example: "  tcplife explain web.pcap --conn 17\n  tcplife explain web.pcap -c 17 --color always | less -R\n  tcplife explain web.pcap -c 17 --pcap 17.pcapng",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no capture file given; tcplife explain --help tells more")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.conn == 0 {
				return errors.New("--conn: which connection? tcplife FILE lists their IDs")
			}
			config, err := f.track.config(cmd)
			if err != nil {
				return err
			}
			rules, err := f.rules.config(&f.track)
			if err != nil {
				return err
			}
			color, err := wantColor(f.color, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			files, filter, err := f.packets.take(cmd, args)
			if err != nil {
				return err
			}
			return explain(cmd, files, f.conn, f.pcap, &analysis{
				config:   config,
				checker:  anomaly.NewChecker(anomaly.All, rules),
				filter:   filter,
				separate: f.separate,
			}, color)
		},
	}
	fs := cmd.Flags()
	fs.Uint64VarP(&f.conn, "conn", "c", 0, "`ID` of the connection, as the report of the same files has it")
	fs.StringVar(&f.pcap, "pcap", "", "write the connection's packets to `FILE`: pcapng, or pcap if that is how its name ends")
	f.packets.add(cmd)
	separateFlag(cmd, &f.separate)
	f.track.add(cmd)
	f.rules.add(cmd)
	colorFlag(cmd, &f.color)
	return cmd
}

// explain prints the connection of that id, counted as the main command counts, with
// an analysis that is set up but for where its results go.
func explain(cmd *cobra.Command, args []string, id uint64, pcap string, a *analysis, color bool) error {
	l := ladder.New(cmd.OutOrStdout(), id, color)
	a.sink, a.observe, a.icmp = l, l.Observe, l.ICMP
	a.enough = func() bool { return l.Found || l.Err() != nil }
	a.tell(cmd.ErrOrStderr(), true)
	files := a.expand(args)
	if len(files) == 0 {
		return errTold
	}
	l.Inputs = report.NewInputs(files)
	var extract *extract
	if pcap != "" {
		var err error
		if extract, err = newExtract(pcap, id, files); err != nil {
			return err
		}
		a.observe, a.icmp = extract.observing(a.observe, a.icmp)
	}
	a.run(files)
	if extract != nil && l.Found && l.Err() == nil {
		if err := extract.write(a, files); err != nil {
			return err
		}
	}
	if err := l.Err(); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if !l.Found {
		if a.failed {
			return errTold
		}
		return fmt.Errorf("no connection %d: the files hold %d", id, a.summary.Connections)
	}
	if a.failed {
		return errTold
	}
	return nil
}
