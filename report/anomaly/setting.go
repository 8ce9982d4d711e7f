package anomaly

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Setting is a limit that a rule goes by and a user may change.
type Setting struct {
	Name    string // within the rule: lower case, hyphenated
	Unit    Unit
	Default int64  // ns, a count, or percent
	Why     string // the reason for the default
}

// A Unit is what a setting counts.
type Unit uint8

// Units.
const (
	Span    Unit = iota // a duration, positive
	Count               // at least 1
	Percent             // 1 to 100
)

// span, count and percent make settings.
func span(name string, d time.Duration, why string) *Setting {
	return &Setting{name, Span, int64(d), why}
}

func count(name string, n int, why string) *Setting { return &Setting{name, Count, int64(n), why} }

func percent(name string, n int, why string) *Setting { return &Setting{name, Percent, int64(n), why} }

// String returns the default, as --set takes it.
func (s *Setting) String() string { return s.Unit.format(s.Default) }

func (u Unit) format(v int64) string {
	switch u {
	case Span:
		text := time.Duration(v).String()
		if short, ok := strings.CutSuffix(text, "m0s"); ok {
			text = short + "m"
		}
		if short, ok := strings.CutSuffix(text, "h0m"); ok {
			text = short + "h"
		}
		return text
	case Percent:
		return strconv.FormatInt(v, 10) + "%"
	default:
		return strconv.FormatInt(v, 10)
	}
}

var errUnit = [...]error{
	Span:    errors.New("want a duration such as 30s or 5m"),
	Count:   errors.New("want a number from 1 on"),
	Percent: errors.New("want a percentage, 1% to 100%"),
}

func (u Unit) parse(text string) (v int64, err error) {
	switch u {
	case Span:
		var d time.Duration
		d, err = time.ParseDuration(text)
		v = int64(d)
	case Percent:
		v, err = strconv.ParseInt(strings.TrimSuffix(text, "%"), 10, 64)
		if v > 100 {
			err = errUnit[u]
		}
	default:
		v, err = strconv.ParseInt(text, 10, 64)
		if v > math.MaxInt32 {
			err = errUnit[u]
		}
	}
	if err != nil || v < 1 {
		return 0, errUnit[u]
	}
	return v, nil
}

// A Config is what rules go by. The zero Config is Linux with every setting's
// default.
type Config struct {
	Stack *Stack // of hosts that nothing else is known of; nil: Linux
	set   map[*Setting]int64
}

// Set changes a setting, given as "close-wait.after=30s".
func (c *Config) Set(text string) error {
	path, value, ok := strings.Cut(text, "=")
	rule, name, ok2 := strings.Cut(path, ".")
	if !ok || !ok2 {
		return errors.New("want RULE.SETTING=VALUE, such as close-wait.after=30s")
	}
	r := Find(rule)
	if r == nil {
		return fmt.Errorf("no rule %q; tcplife rules lists them", rule)
	}
	var names []string
	for _, s := range r.Settings {
		if s.Name != name {
			names = append(names, s.Name)
			continue
		}
		v, err := s.Unit.parse(value)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", rule, name, err)
		}
		if c.set == nil {
			c.set = make(map[*Setting]int64)
		}
		c.set[s] = v
		return nil
	}
	if len(names) == 0 {
		return fmt.Errorf("%s has no settings", rule)
	}
	return fmt.Errorf("%s has no setting %q; it has %s", rule, name, strings.Join(names, ", "))
}

func (c *Config) value(s *Setting) int64 {
	if v, ok := c.set[s]; ok {
		return v
	}
	return s.Default
}

// Duration returns the value of a setting that is a Span.
func (c *Config) Duration(s *Setting) time.Duration { return time.Duration(c.value(s)) }

// Count returns the value of a setting that is a Count.
func (c *Config) Count(s *Setting) int { return int(c.value(s)) }

// Share returns the value of a setting that is a Percent: 0.5 for 50 %.
func (c *Config) Share(s *Setting) float64 { return float64(c.value(s)) / 100 }

// stack returns the stack that hosts are taken to have.
func (c *Config) stack() *Stack {
	if c.Stack == nil {
		return Stacks[0]
	}
	return c.Stack
}
