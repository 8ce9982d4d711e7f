//go:build unix

package main

// A target is a figure that is not to be exceeded.
type target struct {
	what  string
	on    string
	limit float64
	unit  func(float64) string
	value func(*bench) (float64, bool) // false: it was not measured
}

// targets are in the order of the report.
var targets = append(append(
	ratios("cpu, one worker, × yardstick", oneWorker, cpu, 1.1, 1.2, 0.3, 1.0, 1.1, 1.4),
	ratios("wall, all cores, × yardstick", allCores, wall, 0.75, 0.75, 0.25, 0.75, 0.75, 1.0)...),
	target{"cpu, JSON lines × summary", "W2", 1.8, times, func(b *bench) (float64, bool) {
		return b.on("W2", func(r *result) (float64, bool) { return ratio(r.samples[jsonLines], r.samples[oneWorker], cpu) })
	}},
	peak("W1"),
	peak("W5"),
	perConnection("memory of an open connection", "W4", 320),
	perConnection("memory of an unanswered SYN", "W3", 64),
	garbage("W1"),
	garbage("W2"),
	garbage("W3"),
	garbage("W4"),
	target{"cpu a packet, × yardstick, at most against fewest connections", "curve", 1.0, times, growth},
)

// on returns the workload's figure.
func (b *bench) on(name string, figure func(*result) (float64, bool)) (float64, bool) {
	for _, r := range b.results {
		if r.name == name {
			return figure(r)
		}
	}
	return 0, false
}

// ratios returns the targets of W1 to W6.
func ratios(what, contender string, cost func(sample) float64, limits ...float64) (all []target) {
	for i, limit := range limits {
		name := "W" + string(rune('1'+i))
		all = append(all, target{what, name, limit, times, func(b *bench) (float64, bool) {
			return b.on(name, func(r *result) (float64, bool) { return ratio(r.samples[contender], r.samples[yardstick], cost) })
		}})
	}
	return all
}

func peak(name string) target {
	return target{"peak memory", name, 64e6, mega, func(b *bench) (float64, bool) {
		return b.on(name, func(r *result) (float64, bool) { return memory(r), true })
	}}
}

// perConnection counts all that the program takes, and so its code and buffers
// too: what that comes to is little at full scale only.
func perConnection(what, name string, limit float64) target {
	return target{what, name, limit, single, func(b *bench) (float64, bool) {
		return b.on(name, func(r *result) (float64, bool) { return memory(r) / float64(r.truth.Connections), true })
	}}
}

func garbage(name string) target {
	return target{"garbage collector's share of cpu", name, 0.02, percent, func(b *bench) (float64, bool) {
		return b.on(name, func(r *result) (float64, bool) { return r.gc, true })
	}}
}

// growth returns how much more the cost of a packet grows along the curve than the
// yardstick's, whose growth is cache misses.
func growth(b *bench) (float64, bool) {
	var first, last *result
	for _, r := range b.results {
		if r.inProgress > 0 {
			if first == nil {
				first = r
			}
			last = r
		}
	}
	if first == last {
		return 0, false
	}
	p, ok := ratio(first.samples[oneWorker], first.samples[yardstick], cpu)
	q, ok2 := ratio(last.samples[oneWorker], last.samples[yardstick], cpu)
	return q / p, ok && ok2
}
