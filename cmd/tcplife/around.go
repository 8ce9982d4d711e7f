package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tcplife/decode/capture/live"
	"tcplife/internal/record"
	"tcplife/report"
	"tcplife/report/policy"
)

// aroundFlags are the flags of checking what passes while a command runs.
type aroundFlags struct {
	interfaces []string
	settle     time.Duration
	write      string
}

func (f *aroundFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVarP(&f.interfaces, "interface", "i", nil, "capture from this `INTERFACE` while the command behind -- runs: lo for what talks on this host, any for all")
	fs.DurationVar(&f.settle, "settle", 3*time.Second, "with -i, how long connections that are still closing may take when the command is over")
	fs.StringVar(&f.write, "write", "", "with -i, keep the packets in this `FILE` (pcapng), which the commands that are told then name")
}

// unused refuses the flags that mean nothing without an interface.
func (f *aroundFlags) unused(cmd *cobra.Command) error {
	for _, name := range []string{"settle", "write"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s goes with -i, to check what passes while a command runs", name)
		}
	}
	return nil
}

// testCloseWait is when an end in CLOSE_WAIT counts as a leak by the policy that is
// built in: the end of a test closes all sockets, so there is no more time to wait.
const testCloseWait = "close-wait.after=2s"

// runAround checks what passes while the command behind -- runs.
func (f *checkFlags) runAround(cmd *cobra.Command, args []string, p *policy.Policy, then *policy.Record, reports []reportTo) error {
	dash := cmd.ArgsLenAtDash()
	if dash < 0 || dash == len(args) {
		return errors.New("-i: what is to run? tcplife check -i lo -- COMMAND")
	}
	words, command := args[:dash], args[dash:]
	for _, name := range []string{"since", "until", "separate"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s goes with capture files, not with -i", name)
		}
	}
	expr := strings.Join(words, " ")
	if f.packets.filter != "" && expr != "" {
		return fmt.Errorf("two filters: --filter %q, and %q before the command", f.packets.filter, expr)
	}
	expr += f.packets.filter
	if f.around.settle < 0 {
		return fmt.Errorf("--settle %v: negative", f.around.settle)
	}
	if err := checkFilter(expr); err != nil {
		return err
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		return err
	}
	if p.BuiltIn() {
		p.Set = append(p.Set, testCloseWait)
	}

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	name, temporary, err := f.around.file()
	if err != nil {
		return err
	}
	keep := !temporary
	defer func() {
		if !keep {
			os.Remove(name)
		}
	}()
	c, err := f.capture(cmd, name, expr, command, signals)
	if err != nil {
		return err
	}
	over := make(chan struct{})
	defer close(over)
	go func() { // judging a large file takes its time, too
		select {
		case s := <-signals:
			if temporary {
				os.Remove(name)
			}
			os.Exit(signalStatus + int(s.(syscall.Signal)))
		case <-over:
		}
	}()
	v, err := f.judge(cmd, p, []string{name}, packetFilter{})
	if v == nil {
		return errors.Join(c.failed, err)
	}
	v.Notes = append(v.Notes, c.notes...)
	err = errors.Join(c.failed, tell(cmd.OutOrStdout(), reports, v, then), err)
	if temporary && v.Packets > 0 && v.Count(policy.Broken)+v.Count(policy.Told) > 0 {
		keep = true
		complain(cmd.ErrOrStderr(), fmt.Sprintf("the packets are in %s; --write FILE chooses where", name))
	}
	return err
}

// file returns the name of the file for the packets, and whether it is one of ours.
func (f *aroundFlags) file() (name string, temporary bool, err error) {
	if f.write != "" {
		return f.write, false, nil
	}
	file, err := os.CreateTemp("", "tcplife-*.pcapng")
	if err != nil {
		return "", false, err
	}
	return file.Name(), true, file.Close()
}

// A captured is what there is to tell of a capture around a command.
type captured struct {
	failed error // the command's failure, or the interruption
	notes  []string
}

// capture runs the command and keeps in the file what passes meanwhile.
func (f *checkFlags) capture(cmd *cobra.Command, name, filter string, command []string, signals <-chan os.Signal) (*captured, error) {
	source, err := live.Open(live.Options{
		Interfaces: f.around.interfaces, Filter: filter,
		Warn: func(what string) { complain(cmd.ErrOrStderr(), what) },
	})
	if err != nil {
		return nil, err
	}
	if err := live.DropPrivileges(); err != nil {
		return nil, errors.Join(err, source.Close())
	}
	rec, err := record.Start(source, name)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	var c captured
	if c.failed, err = execute(cmd, command, signals); err != nil {
		_, err2 := rec.Stop()
		return nil, errors.Join(err, err2)
	}
	if c.failed != nil {
		c.notes = append(c.notes, c.failed.Error())
	}
	settled := make(chan int, 1)
	go func() { settled <- rec.Settle(f.around.settle) }()
	select {
	case n := <-settled:
		if n > 0 {
			c.notes = append(c.notes, fmt.Sprintf("connections still opening or closing %v after the command: %d; --settle waits longer", f.around.settle, n))
		}
	case <-signals:
		c.failed = errors.Join(c.failed, errors.New("interrupted, so connections had no time to close"))
	}
	stats, err := rec.Stop()
	if err != nil {
		return nil, errors.Join(c.failed, fmt.Errorf("capturing: %w", err))
	}
	if stats.Dropped > 0 {
		c.notes = append(c.notes, fmt.Sprintf("%d of %d packets were lost, which the verdict lacks: capture fewer, by a filter", stats.Dropped, stats.Received+stats.Dropped))
	}
	return &c, nil
}

// A commandError says that the command failed, whose exit status becomes ours.
type commandError struct {
	command string
	status  int
	how     string
}

func (e *commandError) Error() string { return fmt.Sprintf("%s: %s", e.command, e.how) }

// signalStatus is what shells add to the number of a signal that ended a program.
const signalStatus = 128

// execute runs the command. failed tells that it did not succeed, err that it could
// not be run. As system(3) has it, an interrupt is left to the command, which the
// terminal interrupts too; a second one, or what else asks us to end, ends it.
func execute(cmd *cobra.Command, command []string, signals <-chan os.Signal) (failed, err error) {
	run := exec.Command(command[0], command[1:]...)
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := run.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	for interrupted := false; ; {
		select {
		case s := <-signals:
			if s != os.Interrupt || interrupted {
				run.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may be over
			}
			interrupted = true
		case err := <-ended:
			return failure(command, err)
		}
	}
}

// failure tells how the command ended that Wait had that error of.
func failure(command []string, err error) (failed, other error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return nil, err
	}
	e := &commandError{report.Printable(strings.Join(command, " ")), exit.ExitCode(), exit.String()}
	if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		e.status = signalStatus + int(w.Signal())
	}
	return e, nil
}
