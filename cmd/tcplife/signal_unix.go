//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifySnapshot returns a channel that receives when the user asks for a snapshot.
func notifySnapshot() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	return c
}
