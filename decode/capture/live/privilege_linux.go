package live

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropPrivileges gives up the process's capabilities. An open Source goes on
// without. Root keeps the right to write to any file, and nothing else; programs
// that root starts have all of them again.
//
// It needs a build without cgo, in which a capability can be taken off all
// threads, and does nothing in one with it.
func DropPrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	keep := capabilities()
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&keep)), 0)
	if errno != 0 && !errors.Is(errno, errors.ErrUnsupported) {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}

// capabilities are those that stay.
func capabilities() (keep [2]unix.CapUserData) {
	if os.Geteuid() == 0 {
		const files = 1 << unix.CAP_DAC_OVERRIDE
		keep[0] = unix.CapUserData{Effective: files, Permitted: files}
	}
	return keep
}
