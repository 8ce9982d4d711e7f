package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both sides of a terminal with that many columns.
func openTerminal(t *testing.T, columns uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skip(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skip(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// TestTerminal: on a terminal the table has its width and colours, unless
// NO_COLOR is set.
func TestTerminal(t *testing.T) {
	name := writePcap(t, 1)
	t.Setenv("TERM", "xterm")
	for _, test := range []struct {
		columns uint16
		noColor string
		stacked bool
		color   bool
	}{
		{80, "", true, true},
		{250, "", false, true},
		{250, "1", false, false},
	} {
		t.Setenv("NO_COLOR", test.noColor)
		master, slave := openTerminal(t, test.columns)
		shown := make(chan string)
		go func() {
			var b bytes.Buffer
			_, _ = io.Copy(&b, master) // ends with EIO when the slave is closed
			shown <- b.String()
		}()
		if status := run([]string{name}, slave, slave); status != statusOK {
			t.Errorf("status %d", status)
		}
		slave.Close()
		got := <-shown
		if stacked := strings.Contains(got, "CLIENT, SERVER"); stacked != test.stacked {
			t.Errorf("%d columns: server below the client: %v\n%s", test.columns, stacked, got)
		}
		if color := strings.Contains(got, "\x1b["); color != test.color {
			t.Errorf("NO_COLOR=%q: coloured: %v\n%s", test.noColor, color, got)
		}
	}
}
