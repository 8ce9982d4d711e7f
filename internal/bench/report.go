//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// report writes what was measured, as Markdown.
func (b *bench) report(w io.Writer) {
	fmt.Fprintf(w, "Commit %s, %s. Load when it began: %s. Scale %g, %d rounds.\n", b.commit, machine(), b.load, b.scale, b.rounds)
	fmt.Fprintf(w, "Medians; ratios are medians of the ratios in each round. One worker: `%s`.\n", b.workerWords())
	if b.yardstick == "" {
		fmt.Fprintf(w, "\n**No yardstick**: %s\n", b.without)
	}
	b.targets(w)
	b.runs(w)
	b.curve(w)
}

// targets compares with what is aimed at.
func (b *bench) targets(w io.Writer) {
	heading(w, "Targets", "what|on|at most:|measured:|")
	for _, t := range targets {
		value, ok := t.value(b)
		measured, verdict := "–", "not measured"
		if ok {
			measured, verdict = t.unit(value), "met"
			if value > t.limit {
				verdict = "**missed**"
			}
		}
		row(w, t.what, t.on, t.unit(t.limit), measured, verdict)
	}
}

// runs tells what every program took.
func (b *bench) runs(w io.Writer) {
	heading(w, "Runs", "workload|program|wall s:|cpu s:|cpu ns a packet:|MB/s:|peak MB:|× yardstick, cpu:|× yardstick, wall:|gc:")
	for _, r := range b.results {
		if r.inProgress > 0 {
			continue
		}
		for _, c := range b.contenders(r) {
			s := r.samples[c.name]
			sec, _ := of(s, wall)
			used, _ := of(s, cpu)
			most, _ := of(s, rss)
			gc := ""
			if c.name == allCores {
				gc = percent(r.gc)
			}
			row(w, r.name, c.name, fmt.Sprintf("%.3f", sec), fmt.Sprintf("%.3f", used),
				fmt.Sprintf("%.0f", used/float64(r.truth.Packets)*1e9), fmt.Sprintf("%.0f", float64(r.truth.Bytes)/1e6/sec),
				fmt.Sprintf("%.0f", most/1e6), b.times(r, c.name, cpu), b.times(r, c.name, wall), gc)
		}
	}
	heading(w, "Workloads", "|what|packets:|connections:|size:|octets a packet:")
	for _, r := range b.results {
		t := r.truth
		connections := "not known"
		if t.Connections > 0 {
			connections = grouped(t.Connections)
		}
		row(w, r.name, r.title, grouped(t.Packets), connections, octets(t.Bytes), fmt.Sprint(t.Bytes/int64(t.Packets)))
	}
}

// times says how a contender compares with the yardstick.
func (b *bench) times(r *result, name string, what func(sample) float64) string {
	if q, ok := ratio(r.samples[name], r.samples[yardstick], what); ok && name != yardstick {
		return times(q)
	}
	return ""
}

// curve tells how cost grows with the connections in progress.
func (b *bench) curve(w io.Writer) {
	var points []*result
	for _, r := range b.results {
		if r.inProgress > 0 {
			points = append(points, r)
		}
	}
	if len(points) == 0 {
		return
	}
	heading(w, "Cost by connections in progress",
		"in progress:|packets:|tcplife, cpu ns a packet:|yardstick, cpu ns a packet:|× yardstick, cpu:|tcplife, peak MB:|octets a connection:")
	for _, r := range points {
		row(w, grouped(uint64(r.inProgress)), grouped(r.truth.Packets), perPacket(r, oneWorker), perPacket(r, yardstick),
			b.times(r, oneWorker, cpu), megabytes(r), fmt.Sprintf("%.0f", memory(r)/float64(r.inProgress)))
	}
}

func megabytes(r *result) string { return fmt.Sprintf("%.0f", memory(r)/1e6) }

// memory returns the most that tcplife had in memory.
func memory(r *result) float64 {
	one, _ := of(r.samples[oneWorker], rss)
	all, _ := of(r.samples[allCores], rss)
	return max(one, all)
}

func perPacket(r *result, name string) string {
	if v, ok := of(r.samples[name], cpu); ok {
		return fmt.Sprintf("%.0f", v/float64(r.truth.Packets)*1e9)
	}
	return "–"
}

// heading begins a table. A column whose name ends in a colon is of numbers.
func heading(w io.Writer, title, columns string) {
	names := strings.Split(columns, "|")
	rule := make([]string, len(names))
	for i, name := range names {
		rule[i] = "---"
		if strings.HasSuffix(name, ":") {
			names[i], rule[i] = strings.TrimSuffix(name, ":"), "--:"
		}
	}
	fmt.Fprintf(w, "\n### %s\n\n", title)
	row(w, names...)
	row(w, rule...)
}

func row(w io.Writer, cells ...string) {
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}

// Units.
func times(v float64) string   { return fmt.Sprintf("%.2f ×", v) }
func percent(v float64) string { return fmt.Sprintf("%.1f %%", v*100) }
func mega(v float64) string    { return fmt.Sprintf("%.0f MB", v/1e6) }
func single(v float64) string  { return fmt.Sprintf("%.0f octets", v) }

func octets(n int64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// grouped returns n with its digits in groups of three.
func grouped(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// commit names what lies here.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine says what it was measured on, as far as that can be told.
func machine() string {
	model, memory := runtime.GOARCH, ""
	if m := field("/proc/cpuinfo", `(?m)^model name\s*:\s*(.*)$`); m != "" {
		model = m
	}
	if kb, err := strconv.ParseFloat(field("/proc/meminfo", `(?m)^MemTotal:\s*(\d+) kB$`), 64); err == nil {
		memory = fmt.Sprintf(", %.0f GB", kb*1024/1e9)
	}
	return fmt.Sprintf("%s, %d cores%s, %s, %s", model, runtime.NumCPU(), memory, runtime.GOOS, runtime.Version())
}

// load returns the load average of the last minute.
func load() string {
	if l := field("/proc/loadavg", `^(\S+)`); l != "" {
		return l
	}
	return "unknown"
}

func field(file, pattern string) string {
	text, err := os.ReadFile(file)
	if m := regexp.MustCompile(pattern).FindSubmatch(text); err == nil && m != nil {
		return string(m[1])
	}
	return ""
}
