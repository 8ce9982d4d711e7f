// Package metrics counts what connections do, for Prometheus. A user learns from
// it how many are in which state, and how that changes over months.
package metrics

import (
	"cmp"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tcplife/decode"
	"tcplife/internal/fold"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// Metrics is what is counted. No label has a value that packets could make up, but
// for the addresses of the maxHosts hosts with most TIME_WAIT.
type Metrics struct {
	registry   *prometheus.Registry
	outcomes   *prometheus.CounterVec
	handshakes *prometheus.CounterVec
	resets     *prometheus.CounterVec
	findings   *prometheus.CounterVec
	evicted    prometheus.Counter
	handshake  prometheus.Histogram
	duration   prometheus.Histogram
	survey     atomic.Pointer[Survey]
}

// New returns Metrics in which nothing is counted. version is this program's.
func New(version string) *Metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		outcomes:   counters("tcplife_connections_total", "Connections whose record is closed, by how they ended.", "outcome"),
		handshakes: counters("tcplife_handshakes_total", "Connections whose record is closed, by how they began.", "outcome"),
		resets:     counters("tcplife_resets_total", "Connections closed by a RST, by the end in whose name it was sent and by who made it.", "by", "maker"),
		findings:   counters("tcplife_findings_total", "Findings, each counted when it is first known.", "rule", "severity"),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tcplife_evicted_connections_total", Help: "Connections that were forgotten at the memory limit.",
		}),
		handshake: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tcplife_handshake_seconds", Help: "Time from the first SYN to the acknowledgment that completes the handshake.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10), // 100 µs to 26 s: within a host, to several lost SYNs
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tcplife_connection_seconds", Help: "Time from the first segment of a connection to its last.",
			Buckets: prometheus.ExponentialBuckets(0.001, 6, 11), // 1 ms to 17 hours
		}),
	}
	// A series that is there from the beginning has a rate when the first one is
	// counted.
	for _, o := range report.Outcomes() {
		m.outcomes.WithLabelValues(o.String())
	}
	for h := track.Missed; h <= track.Simultaneous; h++ {
		m.handshakes.WithLabelValues(h.String())
	}
	for _, r := range anomaly.All {
		m.findings.WithLabelValues(r.Name, r.Severity.String())
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tcplife_build_info", Help: "1, with this program's version.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(
		m.outcomes, m.handshakes, m.resets, m.findings, m.evicted, m.handshake, m.duration, info, m,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler answers with the metrics, in the form that the client asks for:
// Prometheus's or OpenMetrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, EnableOpenMetrics: true})
}

// Connection counts a connection whose record is closed.
func (m *Metrics) Connection(c *track.Conn) {
	m.outcomes.WithLabelValues(report.OutcomeOf(c).String()).Inc()
	m.handshakes.WithLabelValues(c.Handshake().String()).Inc()
	if d, ok := c.HandshakeTime(); ok {
		m.handshake.Observe(d.Seconds())
	}
	m.duration.Observe(c.End().Sub(c.Start).Seconds())
	if r, ok := c.Reset(); ok {
		maker, _ := r.Maker()
		name := maker.String()
		if name == "" {
			name = "unknown"
		}
		m.resets.WithLabelValues(r.By.String(), name).Inc()
	}
	if c.EndReason == track.Evicted {
		m.evicted.Inc()
	}
}

// Finding counts a finding.
func (m *Metrics) Finding(f *anomaly.Finding) {
	m.findings.WithLabelValues(f.Rule.Name, f.Severity.String()).Inc()
}

// A Survey is what there is at one time: open connections, and the counts of the
// capture until then.
type Survey struct {
	Open            uint64
	Ends            [2][track.TimeWait + 1]uint64 // of clients and servers, by state
	Packets, Bytes  uint64                        // analysed; octets on the wire
	Received        uint64                        // packets by the kernel's count, of which it
	Dropped         uint64                        // dropped so many
	Skipped         [decode.NumSkips]uint64
	Tracking, Limit uint64 // octets that connections take, and may take

	timeWait fold.Map[decode.Addr, waiting]
	top      []*waiting
}

// A waiting is a host and its ends in TIME_WAIT.
type waiting struct {
	host decode.Addr
	ends uint64
}

const (
	maxHosts = 20 // that are told one by one

	// countedHosts bounds the memory for choosing among hosts: the fewer ends the
	// others have, the likelier it is that the right ones are told.
	countedHosts = 1000
)

// NewSurvey returns a Survey of nothing.
func NewSurvey() *Survey {
	return &Survey{timeWait: fold.New[decode.Addr](countedHosts, func(w *waiting) uint64 { return w.ends })}
}

// Connection takes in an open connection.
func (s *Survey) Connection(c *track.Conn) {
	s.Open++
	for r, e := range c.Ends() {
		s.Ends[r][e.State()]++
		if e.State() == track.TimeWait {
			w := s.timeWait.At(e.Addr())
			w.host = e.Addr()
			w.ends++
		}
	}
}

// Publish makes s, which must not change any more, what the gauges tell.
func (m *Metrics) Publish(s *Survey) {
	s.top, _ = s.timeWait.Sorted(func(a, b *waiting) int {
		return cmp.Or(cmp.Compare(b.ends, a.ends), a.host.IP().Compare(b.host.IP()))
	})
	s.top = s.top[:min(maxHosts, len(s.top))]
	m.survey.Store(s)
}

var (
	descOpen     = prometheus.NewDesc("tcplife_open_connections", "Connections whose record is open.", nil, nil)
	descEnds     = prometheus.NewDesc("tcplife_ends", "Ends of open connections, by role and RFC 9293 state.", []string{"role", "state"}, nil)
	descTimeWait = prometheus.NewDesc("tcplife_time_wait_ends", "Ends in TIME_WAIT, of the hosts with most of them; the others' together have the host other.", []string{"host"}, nil)
	descPackets  = prometheus.NewDesc("tcplife_packets_total", "Packets that were analysed.", nil, nil)
	descBytes    = prometheus.NewDesc("tcplife_bytes_total", "Octets of these packets on the wire.", nil, nil)
	descReceived = prometheus.NewDesc("tcplife_captured_packets_total", "Packets that the kernel's filter passed.", nil, nil)
	descDropped  = prometheus.NewDesc("tcplife_dropped_packets_total", "Of these, packets that were lost for want of room in the buffer.", nil, nil)
	descSkipped  = prometheus.NewDesc("tcplife_skipped_packets_total", "Packets that are no TCP segment or could not be decoded, by reason.", []string{"reason"}, nil)
	descTracking = prometheus.NewDesc("tcplife_tracking_bytes", "Memory that connections take.", nil, nil)
	descLimit    = prometheus.NewDesc("tcplife_tracking_limit_bytes", "Memory that connections may take, after which unfinished handshakes and the longest idle are forgotten.", nil, nil)
)

// Describe makes Metrics a prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descOpen, descEnds, descTimeWait, descPackets, descBytes, descReceived, descDropped, descSkipped, descTracking, descLimit,
	} {
		ch <- d
	}
}

// Collect tells the latest survey.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.survey.Load()
	if s == nil {
		return
	}
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(v), labels...)
	}
	tell(descOpen, prometheus.GaugeValue, s.Open)
	for r := range s.Ends {
		for st, n := range s.Ends[r] {
			tell(descEnds, prometheus.GaugeValue, n, track.Role(r).String(), track.State(st).String())
		}
	}
	other := s.Ends[track.Client][track.TimeWait] + s.Ends[track.Server][track.TimeWait]
	for _, w := range s.top {
		tell(descTimeWait, prometheus.GaugeValue, w.ends, w.host.IP().String())
		other -= w.ends
	}
	tell(descTimeWait, prometheus.GaugeValue, other, "other")
	tell(descPackets, prometheus.CounterValue, s.Packets)
	tell(descBytes, prometheus.CounterValue, s.Bytes)
	tell(descReceived, prometheus.CounterValue, s.Received)
	tell(descDropped, prometheus.CounterValue, s.Dropped)
	for _, skip := range decode.Skips() {
		tell(descSkipped, prometheus.CounterValue, s.Skipped[skip], skip.String())
	}
	tell(descTracking, prometheus.GaugeValue, s.Tracking)
	tell(descLimit, prometheus.GaugeValue, s.Limit)
}
