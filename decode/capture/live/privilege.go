//go:build !linux

package live

// DropPrivileges gives up what only opening takes. On this system that is
// nothing.
func DropPrivileges() error { return nil }
