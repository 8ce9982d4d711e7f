//go:build !unix

package main

import "os"

// notifySnapshot returns nil: this system has no signal for it.
func notifySnapshot() <-chan os.Signal { return nil }
