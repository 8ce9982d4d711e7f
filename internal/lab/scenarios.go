//go:build linux

package main

import "slices"

// scenarios are all of them. The place in the list gives the addresses.
var scenarios = slices.Concat(openings, closings, resets, timers, forgeries, vantages, oddities, keptScenarios(), breaks, crowds)
