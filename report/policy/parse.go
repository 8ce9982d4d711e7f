package policy

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"tcplife/report/anomaly"
)

// maxSize bounds the policies that are read: a hundred pages.
const maxSize = 256 << 10

// Load reads the policy of that name, or the one that is built in if the name is
// DefaultName.
func Load(name string) (*Policy, error) {
	if name == DefaultName {
		return Parse(name, Default)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("policy: %w", err)
	case len(data) > maxSize:
		return nil, fmt.Errorf("policy: %s: longer than %d octets", name, maxSize)
	}
	return Parse(name, data)
}

// Parse reads a policy. The error names every line and key that is wrong.
func Parse(name string, data []byte) (*Policy, error) {
	r := &reader{name: name}
	p := &Policy{Name: name}
	if doc, ok := r.document(data); ok {
		r.policy(doc, p)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return p, nil
}

func (r *reader) policy(doc place, p *Policy) {
	// What holds where the file says nothing.
	base := &Block{Line: doc.line(), Fail: anomaly.Error, Tell: anomaly.Warn, Rules: map[string]*RuleSetting{}}
	p.Blocks = []*Block{base}
	versioned := false
	r.entries(doc, func(key string, v place) {
		switch key {
		case "version":
			versioned = true
			var n int
			if scalar(r, v, &n, strconv.Atoi); n != 1 {
				r.fail(v, "this tcplife reads version 1")
			}
		case "home":
			list(r, v, (*[]netip.Prefix)(&p.Home), parseNetwork)
		case "set":
			r.entries(v, func(name string, v place) {
				scalar(r, v, new(struct{}), func(value string) (_ struct{}, err error) {
					p.Set = append(p.Set, name+"="+value)
					return struct{}{}, new(anomaly.Config).Set(name + "=" + value)
				})
			})
		case "for":
			r.elements(v, func(v place) { p.Blocks = append(p.Blocks, r.block(v)) })
		case "expect":
			r.elements(v, func(v place) { p.Expect = append(p.Expect, r.expectation(v)) })
		case "allow":
			r.elements(v, func(v place) { p.Allow = append(p.Allow, r.exception(v)) })
		default:
			if !r.setting(base, key, v) {
				r.unknown(v, "version", "home", "set", "fail", "tell", "rules", "limits", "for", "expect", "allow")
			}
		}
	})
	if len(r.errs) == 0 {
		r.distinct(doc, p)
	}
	if !versioned {
		r.fail(doc, "version: missing; want version: 1")
	}
	if p.Home == nil {
		seen := func(s *Selector, line int) {
			if s.Direction != AnyDirection {
				r.fail(doc, "home: missing; the direction in line %d is seen from these networks", line)
			}
		}
		for _, b := range p.Blocks {
			seen(&b.Where, b.Line)
		}
		for _, e := range p.Expect {
			seen(&e.Where, e.Line)
		}
		for _, e := range p.Allow {
			seen(&e.Where, e.Line)
		}
	}
}

// distinct refuses names that are used twice: reports tell checks apart by them.
func (r *reader) distinct(doc place, p *Policy) {
	seen := map[string]int{}
	once := func(what, name string, line int) {
		if first, ok := seen[what+name]; ok {
			r.fail(doc, "lines %d and %d: two %s called %q; give them a name", first, line, what, name)
		}
		seen[what+name] = line
	}
	for _, b := range p.Blocks[1:] {
		once("blocks", b.Name, b.Line)
	}
	for _, e := range p.Expect {
		once("expectations", e.Name, e.Line)
	}
}

// setting reads what the document and a block of it have in common, and reports
// whether the key is one of that.
func (r *reader) setting(b *Block, key string, v place) bool {
	switch key {
	case "fail":
		scalar(r, v, &b.Fail, parseSeverity)
	case "tell":
		scalar(r, v, &b.Tell, parseSeverity)
	case "rules":
		r.entries(v, func(name string, v place) {
			rule := anomaly.Find(name)
			if rule == nil {
				r.fail(place{Node: v.key, path: v.path}, "no such rule; tcplife rules lists them")
				return
			}
			b.Rules[name] = r.rule(v)
		})
	case "limits":
		r.entries(v, func(name string, v place) {
			m := FindMetric(name)
			if m == nil {
				r.unknown(v, metricNames()...)
				return
			}
			r.limit(b, m, v)
		})
	default:
		return false
	}
	return true
}

func (r *reader) block(v place) *Block {
	b := &Block{Line: v.line(), Rules: map[string]*RuleSetting{}}
	chosen := false
	r.entries(v, func(key string, v place) {
		switch key {
		case "name":
			scalar(r, v, &b.Name, nonEmpty)
		case "where":
			chosen, b.Line = true, v.line()
			r.selector(v, &b.Where)
		default:
			if !r.setting(b, key, v) {
				r.unknown(v, "name", "where", "fail", "tell", "rules", "limits")
			}
		}
	})
	switch {
	case !chosen:
		r.fail(v, "where: missing; what holds for all connections stands outside of for")
	case len(b.Limits) > 0 && b.Where.Suspect != anomaly.NoSuspect:
		r.fail(v, "limits: numbers have no suspect; only findings do")
	}
	if b.Name == "" {
		b.Name = b.Where.String()
	}
	return b
}

// rule reads "ignore", "tell", "fail", an amount, or a mapping.
func (r *reader) rule(v place) *RuleSetting {
	s := &RuleSetting{Line: v.line(), From: anomaly.Note}
	if text, ok := scalarText(v.Node); ok {
		switch text {
		case "ignore":
			s.From = never
		case "tell":
			s.Tell = true
		case "fail":
		default:
			var err error
			if s.Max, err = parseAmount(text); err != nil {
				r.fail(v, "%q is none of ignore, tell, fail, a number such as 3, or a share such as 0.5%%", text)
			}
		}
		return s
	}
	if _, null := v.Node.(*ast.NullNode); null {
		r.fail(v, "want ignore, tell, fail, a number such as 3, or a share such as 0.5%%")
		return s
	}
	r.entries(v, func(key string, v place) {
		switch key {
		case "max":
			scalar(r, v, &s.Max, parseAmount)
		case "from":
			scalar(r, v, &s.From, parseSeverity)
		default:
			r.unknown(v, "max", "from")
		}
	})
	return s
}

// limit reads an amount, or a mapping from what is limited to its bound.
func (r *reader) limit(b *Block, m *Metric, v place) {
	if text, ok := scalarText(v.Node); ok && m.kind != timed {
		l := &Limit{Line: v.line(), Metric: m}
		r.amount(v, text, l)
		b.Limits = append(b.Limits, l)
		return
	}
	if _, ok := scalarText(v.Node); ok {
		r.fail(v, "want which of them, as in {p99: 200ms, max: 2s}")
		return
	}
	r.entries(v, func(key string, v place) {
		l := &Limit{Line: v.line(), Metric: m}
		switch {
		case m.kind == timed:
			q, ok := parseQuantile(key)
			if !ok {
				r.fail(place{Node: v.key, path: v.path}, "want max, or a percentile such as p50, p99 or p99.9")
				return
			}
			l.Quantile = q
			scalar(r, v, &l.Duration, parseDuration)
		case key == "max":
			if text, ok := r.text(v); ok {
				r.amount(v, text, l)
			}
		case key == "min" && m.kind == counted:
			l.least = true
			scalar(r, v, &l.Min, parseCount)
		case m.kind == counted:
			r.unknown(v, "min", "max")
			return
		default:
			r.unknown(v, "max")
			return
		}
		b.Limits = append(b.Limits, l)
	})
}

// amount reads the bound of a metric that is no duration.
func (r *reader) amount(v place, text string, l *Limit) {
	a, err := parseAmount(text)
	switch {
	case err != nil:
		r.fail(v, "%v", err)
	case a.share && l.Metric.kind != shared:
		r.fail(v, "%q: there is nothing to take a share of; want a number", text)
	default:
		l.Max = a
	}
}

func (r *reader) selector(v place, s *Selector) {
	empty := true
	defer func() {
		if empty {
			r.fail(v, "no condition; there are port, server, client, host, direction, suspect")
		}
	}()
	r.entries(v, func(key string, v place) {
		empty = false
		switch key {
		case "port":
			list(r, v, &s.Ports, parsePorts)
		case "server":
			list(r, v, (*[]netip.Prefix)(&s.Server), parseNetwork)
		case "client":
			list(r, v, (*[]netip.Prefix)(&s.Client), parseNetwork)
		case "host":
			list(r, v, (*[]netip.Prefix)(&s.Host), parseNetwork)
		case "direction":
			scalar(r, v, &s.Direction, parseDirection)
		case "suspect":
			scalar(r, v, &s.Suspect, parseSuspect)
		default:
			r.unknown(v, "port", "server", "client", "host", "direction", "suspect")
		}
	})
}

func (r *reader) expectation(v place) *Expectation {
	e := &Expectation{Line: v.line(), AtLeast: 1, Clean: true}
	chosen := false
	r.entries(v, func(key string, v place) {
		switch key {
		case "name":
			scalar(r, v, &e.Name, nonEmpty)
		case "where":
			chosen, e.Line = true, v.line()
			r.selector(v, &e.Where)
		case "at_least":
			scalar(r, v, &e.AtLeast, parseCount)
		case "clean":
			scalar(r, v, &e.Clean, parseBool)
		default:
			r.unknown(v, "name", "where", "at_least", "clean")
		}
	})
	switch {
	case !chosen:
		r.fail(v, "where: missing; which connections must there be?")
	case e.Where.Suspect != anomaly.NoSuspect:
		r.fail(v, "where.suspect: connections have no suspect; only findings do")
	}
	if e.Name == "" {
		e.Name = e.Where.String()
	}
	return e
}

func (r *reader) exception(v place) *Exception {
	e := &Exception{Line: v.line()}
	before := len(r.errs)
	r.entries(v, func(key string, v place) {
		switch key {
		case "rule":
			e.Line = v.line()
			scalar(r, v, &e.Rule, func(name string) (*anomaly.Rule, error) {
				if rule := anomaly.Find(name); rule != nil {
					return rule, nil
				}
				return nil, fmt.Errorf("no rule %q; tcplife rules lists them", name)
			})
		case "where":
			r.selector(v, &e.Where)
		case "reason":
			scalar(r, v, &e.Reason, nonEmpty)
		case "until":
			scalar(r, v, &e.Until, parseDay)
		default:
			r.unknown(v, "rule", "where", "reason", "until")
		}
	})
	if len(r.errs) > before {
		return e // more would only repeat it
	}
	switch {
	case e.Rule == nil:
		r.fail(v, "rule: missing; whose findings may there be?")
	case e.Reason == "":
		r.fail(v, "reason: missing; those who read this next year want to know")
	case e.Until.IsZero():
		r.fail(v, "until: missing; want the last day, such as 2027-03-31")
	}
	return e
}

// parseDay reads a day, and returns its end.
func parseDay(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, fmt.Errorf("%q is no day such as 2027-03-31", text)
	}
	return t.AddDate(0, 0, 1), nil
}

func parseCount(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 53)
	if err != nil {
		return 0, fmt.Errorf("%q is no number such as 3", text)
	}
	return n, nil
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true", "false":
		return text == "true", nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func nonEmpty(text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", errors.New("empty")
	}
	return text, nil
}

// metricNames are the names of the metrics.
func metricNames() []string {
	var names []string
	for _, m := range Metrics {
		names = append(names, m.Name)
	}
	return names
}

// FindMetric returns the metric of that name, or nil.
func FindMetric(name string) *Metric {
	i := slices.IndexFunc(Metrics, func(m *Metric) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return Metrics[i]
}
