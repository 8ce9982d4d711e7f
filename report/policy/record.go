package policy

// RecordSchema names the contract of a Record. Within it fields are added, never
// renamed or removed.
const RecordSchema = "tcplife-check/1"

// A Record is a verdict as programs read it, and what a later run is compared with.
// Durations are in seconds, times RFC 3339 in UTC.
type Record struct {
	Schema      string         `json:"schema"`
	Verdict     string         `json:"verdict"` // kept or broken
	Policy      string         `json:"policy"`
	Captures    []string       `json:"captures"`
	Start       string         `json:"start,omitempty"`
	End         string         `json:"end,omitempty"`
	Packets     uint64         `json:"packets"`
	Connections uint64         `json:"connections"`
	Checks      []CheckRecord  `json:"checks"`
	Notes       []string       `json:"notes"`
	Numbers     []NumberRecord `json:"numbers"`
	Findings    []RuleRecord   `json:"findings"`
}

// A CheckRecord is a Result.
type CheckRecord struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	Name     string          `json:"name"`
	Scope    string          `json:"scope,omitempty"`
	Line     int             `json:"line,omitempty"`
	Status   string          `json:"status"`
	Severity string          `json:"severity"`
	Count    uint64          `json:"count"`
	Allowed  uint64          `json:"allowed"`
	Message  string          `json:"message"`
	Suspect  string          `json:"suspect,omitempty"`
	Examples []ExampleRecord `json:"examples"`
}

// An ExampleRecord is an Example.
type ExampleRecord struct {
	Connection uint64   `json:"connection,omitempty"`
	Client     string   `json:"client,omitempty"`
	Server     string   `json:"server,omitempty"`
	About      string   `json:"about,omitempty"`
	Capture    string   `json:"capture"`
	Packets    []string `json:"packets"`
	Time       string   `json:"time"`
	Severity   string   `json:"severity,omitempty"`
	Suspect    string   `json:"suspect,omitempty"`
	Message    string   `json:"message"`
	Explain    string   `json:"explain,omitempty"`
}

// A NumberRecord is a metric of all connections.
type NumberRecord struct {
	Name string `json:"name"`
	// Hits of so many, of what is a share; the number or the peak, of what is one.
	Hits uint64 `json:"hits,omitempty"`
	Of   uint64 `json:"of,omitempty"`
	// Of a share that comes in bursts: the connections with any of it, of so many.
	ConnectionHits uint64 `json:"connection_hits,omitempty"`
	Connections    uint64 `json:"connections,omitempty"`
	// Of durations: how many there were, and pairs of the longest duration that a
	// bucket holds, in nanoseconds, and how many are in it.
	Count   uint64      `json:"count,omitempty"`
	P50     float64     `json:"p50,omitempty"`
	P99     float64     `json:"p99,omitempty"`
	Max     float64     `json:"max,omitempty"`
	Buckets [][2]uint64 `json:"buckets,omitempty"`
}

// A RuleRecord counts the findings of a rule.
type RuleRecord struct {
	Rule        string `json:"rule"`
	Findings    uint64 `json:"findings"`
	Connections uint64 `json:"connections"` // that have one
}

const timeFormat = "2006-01-02T15:04:05.000000000Z"

// Record returns the verdict as programs read it.
func (v *Verdict) Record() *Record {
	r := &Record{
		Schema: RecordSchema, Verdict: "kept", Policy: v.Policy.Name, Captures: append([]string{}, v.Captures...),
		Packets: v.Packets, Connections: v.Connections,
		Checks: []CheckRecord{}, Notes: append([]string{}, v.Notes...), Numbers: []NumberRecord{}, Findings: []RuleRecord{},
	}
	if v.Broken() {
		r.Verdict = "broken"
	}
	if v.Packets > 0 {
		r.Start, r.End = v.First.UTC().Format(timeFormat), v.Last.UTC().Format(timeFormat)
	}
	for i := range v.Results {
		res := &v.Results[i]
		c := CheckRecord{
			ID: res.ID(), Kind: res.Kind.String(), Name: res.Name, Scope: res.Scope, Line: res.Line,
			Status: res.Status.String(), Severity: res.Severity.String(), Count: res.Count, Allowed: res.Allowed,
			Message: res.Message, Suspect: res.Suspect.String(), Examples: []ExampleRecord{},
		}
		for _, x := range res.Examples {
			c.Examples = append(c.Examples, ExampleRecord{
				Connection: x.Conn, Client: x.Client, Server: x.Server, About: x.About, Capture: x.Capture,
				Packets: append([]string{}, x.Frames...), Time: x.Time.UTC().Format(timeFormat),
				Severity: x.Severity.String(), Suspect: x.Suspect.String(), Message: x.Message, Explain: x.Explain,
			})
		}
		r.Checks = append(r.Checks, c)
	}
	for _, n := range v.all {
		r.Numbers = append(r.Numbers, n.record(&v.timeWaits))
	}
	for _, f := range v.findings {
		r.Findings = append(r.Findings, *f)
	}
	return r
}

func (n *number) record(w *timeWaits) NumberRecord {
	r := NumberRecord{Name: n.metric.Name}
	switch n.metric.kind {
	case timed:
		h := &n.times
		if r.Count = h.n; h.n == 0 {
			break
		}
		r.P50, r.P99, r.Max = h.quantile(500).Seconds(), h.quantile(990).Seconds(), h.longest.Seconds()
		for _, b := range h.sorted() {
			r.Buckets = append(r.Buckets, [2]uint64{uint64(bucketEnd(b)), h.buckets[b]})
		}
	case peak:
		r.Hits, _, _ = w.peak()
		r.Of = r.Hits
	default:
		r.Hits, r.Of = n.hits, n.of
	}
	if n.metric.clustered {
		r.ConnectionHits, r.Connections = n.conns.hits, n.conns.of
	}
	return r
}
