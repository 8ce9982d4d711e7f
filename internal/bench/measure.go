//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// tooLong ends a run that hangs.
const tooLong = 20 * time.Minute

// An outcome is what a run took and wrote.
type outcome struct {
	sample
	stdout, stderr string
}

// measure runs a program. With discard its standard output is not kept.
func measure(ctx context.Context, argv, env []string, discard bool) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, tooLong)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	if !discard {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	begin := time.Now()
	err := cmd.Run()
	o := outcome{stdout: stdout.String(), stderr: stderr.String()}
	o.wall = time.Since(begin)
	if err != nil {
		return o, fmt.Errorf("%s: %w: %.300s", strings.Join(argv, " "), err, o.stderr)
	}
	o.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	o.rss = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if runtime.GOOS != "darwin" { // there it is octets already
		o.rss <<= 10
	}
	return o, nil
}
