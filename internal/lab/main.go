//go:build linux

// The lab makes testdata/pcaps: it lets the sockets of two Linux kernels' network
// namespaces talk over a wire of its own, captures what passes, and writes down
// what the kernels say their states were. It needs root, /dev/net/tun and tracefs.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	dir := flag.String("o", "", "write captures to this `directory`")
	only := flag.String("run", "", "make only these captures, separated by commas")
	n := flag.Int("random", 0, "play `n` random scenarios instead; captures that the tracker and the kernels disagree about are kept")
	seed := flag.Uint64("seed", 1, "of the first random scenario; the next ones count on")
	flag.Parse()
	if *dir == "" && *n == 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *n > 0 {
		seeds := make([]uint64, *n)
		for i := range seeds {
			seeds[i] = *seed + uint64(i)
		}
		switch disagree, err := random(os.Stdout, *dir, seeds); {
		case err != nil:
			fmt.Fprintln(os.Stderr, "lab:", err)
			os.Exit(2)
		case disagree != nil:
			os.Exit(1)
		}
		return
	}
	var names []string
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	if err := run(*dir, names); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// run makes the captures with these names, or all.
func run(dir string, names []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := alone()
	if err != nil {
		return err
	}
	defer unlock()
	t, err := newTracer()
	if err != nil {
		return err
	}
	defer t.close()

	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	few := make(chan struct{}, 6) // so that delays stay those of the scenario
	for i, sc := range scenarios {
		if names != nil && !slices.Contains(names, sc.name) {
			continue
		}
		wg.Go(func() {
			if !sc.long {
				few <- struct{}{}
				defer func() { <-few }()
			}
			var pcap, text []byte
			var late time.Duration
			var err error
			for range 4 {
				if pcap, text, late, err = play(sc, i+1, t); err != nil || late <= punctual || sc.long {
					break
				}
			}
			if err == nil {
				err = save(dir, sc.name, pcap, text)
			}
			if err != nil {
				mu.Lock()
				failed = append(failed, fmt.Errorf("%s: %w", sc.name, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return errors.Join(failed...)
	}
	if names != nil {
		return nil
	}
	return readme(dir)
}

// alone waits until no other lab runs, and puts this one before other work. Two
// labs would have the same addresses in one trace.
func alone() (unlock func(), err error) {
	lock, err := os.Create(filepath.Join(os.TempDir(), "tcplife-lab.lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, err
	}
	hurry()
	return func() { lock.Close() }, nil
}

// punctual is how late the wire may be on a busy machine; otherwise the scenario
// is played again. It is small beside what scenarios wait for.
const punctual = 20 * time.Millisecond

// hurry puts the lab before other work on the machine, which else would delay
// frames. New threads take it over. Nice would not do: the scheduler weighs it
// only within a session.
func hurry() {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			// Without the privilege the lab is slower, not wrong.
			unix.SchedSetAttr(id, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1}, 0)
		}
	}
}

const tableHead = "| capture | what it shows | how it was made | kernel |\n| --- | --- | --- | --- |\n"

// readme writes the table of captures at the end of the directory's README.
func readme(dir string) error {
	file := filepath.Join(dir, "README.md")
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	head, _, _ := strings.Cut(string(b), tableHead)
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	release := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	kernel := "Linux " + strings.Join(release[:min(2, len(release))], ".")
	var t strings.Builder
	t.WriteString(head + tableHead)
	for _, sc := range scenarios {
		fmt.Fprintf(&t, "| %s | %s | %s | %s |\n", sc.name, sc.doc, cmp.Or(sc.how, "sockets"), kernel)
	}
	return os.WriteFile(file, []byte(t.String()), 0o644)
}
