package main

import (
	"bytes"
	"os"
	"strconv"

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
	for _, name := range [...]string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} { // version 2, 1
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 62); err == nil {
			memory = min(memory, size(n))
		}
	}
	return max(memory, 4*minMemory)
}
