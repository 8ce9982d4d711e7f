package anomaly

// ClockBackwards tells of packets that are earlier than the one before.
var ClockBackwards = &Rule{
	Name:     "clock-backwards",
	Severity: Note,
	Ref:      "RFC 9293 §3.4.3",
	Doc: `times that go back

A packet has an earlier time than the one before it in the file. A little is normal
where several interfaces or queues are captured. More means that the clock of the
capturing host was set back, or that files were joined in the wrong order (mergecap
sorts). Durations across a step are wrong, and so is what follows from them: round
trips, timeouts, TIME_WAIT.`,
	Flaw: func(f *Flaws, packets, connections uint64) string {
		if f.StepsBack == 0 {
			return ""
		}
		return "the clock stepped back " + Counted(f.StepsBack, "time") + ", by " + Dur(f.LargestStep).String() + " at most: durations across that are wrong"
	},
}
