//go:build !linux

package main

// machineMemory returns how much memory the machine is taken to have.
func machineMemory() size { return unknownMemory }
