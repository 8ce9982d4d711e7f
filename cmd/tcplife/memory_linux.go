package main

import (
	"bytes"
	"iter"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machineMemory returns how much memory the machine has, or the container that this
// process is in.
func machineMemory() size {
	memory := unknownMemory
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		memory = size(uint64(info.Totalram) * uint64(info.Unit))
	}
	for dir := range cgroups() {
		b, err := os.ReadFile(dir + "/memory.max")
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 62); err == nil {
			memory = min(memory, size(n))
		}
	}
	return max(memory, 4*minMemory)
}

// cgroups yields the directory of this process's control group (version 2), and of
// those that it is in.
func cgroups() iter.Seq[string] {
	return func(yield func(string) bool) {
		b, _ := os.ReadFile("/proc/self/cgroup") // without: the container's
		at := ""
		for line := range strings.Lines(string(b)) {
			if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
				at = group
			}
		}
		for ; ; at = path.Dir(at) {
			if !yield(path.Join("/sys/fs/cgroup", at)) || at == "" || at == "/" || at == "." {
				return
			}
		}
	}
}
