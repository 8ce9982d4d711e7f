package screen

import (
	"flag"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"pgregory.net/rapid"

	"tcplife/decode/capture"
	"tcplife/internal/script"
	"tcplife/report/anomaly"
	"tcplife/track"
)

var update = flag.Bool("update", false, "rewrite the goldens; read the diff before committing it")

const web = `# A server that does not close.
A 192.0.2.1:40000
B 198.51.100.2:443
0 --> S 0:0(0)
+.01 <-- S. 0:0(0) ack 1
+.01 --> . 1:1(0) ack 1
+1 --> F. 1:1(0) ack 1
+.01 <-- . 1:1(0) ack 2

A [2001:db8:85a3::8a2e:370:7334]:40001
B [2001:db8::2]:443
0 --> S 0:0(0)
+.01 <-- S. 0:0(0) ack 1
+.01 --> . 1:1(0) ack 1
+.01 --> P. 1:1001(1000) ack 1
+.01 <-- . 1:1(0) ack 1001

A 192.0.2.3:40002
B 198.51.100.2:443
0 --> S 0:0(0)
+.01 <-- S. 0:0(0) ack 1
+.01 --> . 1:1(0) ack 1
+.01 --> R. 1:1(0) ack 1
`

// survey returns what the scripts leave open, some time later.
func survey(t testing.TB, q Query, later capture.Time) *Survey {
	t.Helper()
	scripts, err := script.Parse(web)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSurvey(script.Epoch+later, q)
	for i, sc := range scripts {
		tr := track.New(track.Config{})
		for _, e := range sc.Events(1, 2) {
			tr.Segment(e.Segment)
			s.Packets++
		}
		tr.Each(func(c *track.Conn) { s.Connection(uint64(i+1), c) })
	}
	s.Sort()
	s.Tracking, s.Limit = 600, 1000
	return s
}

// A user is a screen, and what it asks for.
type user struct {
	t testing.TB
	*Model
	asked Query
	later capture.Time
}

func newUser(t testing.TB) *user {
	u := &user{t: t, later: 100e9}
	u.Model = New("eth0", func(q Query) { u.asked = q })
	return u
}

// wait lets a second pass.
func (u *user) wait() *user {
	u.later += 1e9
	u.Update(survey(u.t, u.asked, u.later))
	return u
}

func (u *user) press(keys ...string) *user {
	for _, k := range keys {
		u.Update(key(k))
	}
	return u
}

func key(k string) tea.KeyPressMsg {
	special := map[string]rune{
		"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "pgup": tea.KeyPgUp,
		"pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd, "backspace": tea.KeyBackspace, "space": tea.KeySpace,
	}
	if r, ok := special[k]; ok {
		return tea.KeyPressMsg{Code: r}
	}
	r, _ := utf8.DecodeRuneInString(k)
	return tea.KeyPressMsg{Code: r, Text: k}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9]*m")

func (u *user) sees() string { return sgr.ReplaceAllString(u.draw(), "") + "\n" }

func TestScreens(t *testing.T) {
	finding := Finding{
		Time: script.Epoch, Rule: "close-wait", Severity: anomaly.Warn, Conn: 1,
		At: netip.MustParseAddrPort("198.51.100.2:443"), Message: "in CLOSE_WAIT, silent for 1m40s",
	}
	for name, show := range map[string]func(*user){
		"empty":    func(*user) {},
		"first":    func(u *user) { u.wait().wait().Update(finding) },
		"wide":     func(u *user) { u.Update(tea.WindowSizeMsg{Width: 132, Height: 30}); u.wait() },
		"bytes":    func(u *user) { u.wait().press("s", "s") },
		"idle":     func(u *user) { u.wait().press("s", "s", "s", "r", "down").wait() },
		"filter":   func(u *user) { u.wait().press("/", "C", "L", "O", "S", "E", "_", "enter").wait() },
		"typing":   func(u *user) { u.wait().press("/", "a", "b", "backspace") },
		"ladder":   func(u *user) { u.wait().Update(finding); u.press("enter").wait() },
		"gone":     func(u *user) { u.wait().press("enter").wait(); u.asked.Conn = 99; u.wait(); u.shown.Query.Conn = 1 },
		"help":     func(u *user) { u.wait().press("?") },
		"message":  func(u *user) { u.wait().Update(Message("eth0 went down")) },
		"frozen":   func(u *user) { u.wait().press("f").wait().Update(finding) },
		"unfrozen": func(u *user) { u.wait().press("f").wait().Update(finding); u.press("f") },
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			show(u)
			file := "testdata/" + name + ".txt"
			if *update {
				if err := os.WriteFile(file, []byte(u.sees()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := u.sees(); got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestFits: whatever the user does, in a terminal of any size, the screen fits it.
func TestFits(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		u := newUser(t)
		keys := []string{"enter", "esc", "up", "down", "pgup", "pgdown", "home", "end", "s", "r", "/", "x", "f", "space", "?", "backspace"}
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			switch rapid.IntRange(0, 4).Draw(r, "what") {
			case 0:
				u.Update(tea.WindowSizeMsg{Width: rapid.IntRange(1, 200).Draw(r, "width"), Height: rapid.IntRange(1, 60).Draw(r, "height")})
			case 1:
				u.wait()
			case 2:
				u.Update(Finding{Message: strings.Repeat("long ", 50), Conn: 1})
			default:
				u.press(rapid.SampledFrom(keys).Draw(r, "key"))
			}
			lines := strings.Split(u.sees(), "\n")
			lines = lines[:len(lines)-1]
			if len(lines) != u.height {
				r.Fatalf("%d lines on a screen of %d", len(lines), u.height)
			}
			for _, l := range lines {
				if n := utf8.RuneCountInString(l); n > u.width {
					r.Fatalf("%d columns on a screen of %d: %q", n, u.width, l)
				}
			}
		}
	})
}

// TestSelection: a selected connection stays selected wherever it goes; as long as
// none is, the first is.
func TestSelection(t *testing.T) {
	u := newUser(t).wait()
	first := u.selected
	if u.press("s").wait(); u.selected == 0 || u.index() != 0 {
		t.Errorf("row %d is selected, and nobody has selected one", u.index())
	}
	u.press("s", "s", "s").wait()
	u.press("down")
	second := u.selected
	u.press("r").wait()
	if second == first || u.selected != second || u.index() != 1 {
		t.Errorf("connection %d is selected in row %d, want %d", u.selected, u.index(), second)
	}
}

// TestManyRows: of more connections than can be shown, the first are kept.
func TestManyRows(t *testing.T) {
	s := NewSurvey(0, Query{Sort: ByBytes})
	for i := range 5 * maxRows {
		s.Rows = append(s.Rows, Row{ID: uint64(i), Bytes: uint64(i * 7919 % (5 * maxRows))})
		if len(s.Rows) >= 2*maxRows {
			s.Sort()
		}
	}
	s.Sort()
	if len(s.Rows) != maxRows || s.Rows[0].Bytes != 5*maxRows-1 || s.Rows[maxRows-1].Bytes != 4*maxRows {
		t.Errorf("%d rows, from %d to %d octets", len(s.Rows), s.Rows[0].Bytes, s.Rows[len(s.Rows)-1].Bytes)
	}
}

func TestCurve(t *testing.T) {
	for _, tt := range []struct {
		values  []uint64
		columns int
		want    string
	}{
		{nil, 5, ""},
		{[]uint64{0, 0}, 5, ""},
		{[]uint64{0, 1, 4, 7}, 5, " ▂▅█"},
		{[]uint64{9, 0, 1, 4, 7}, 2, "▅█"},
		{[]uint64{1, 1000}, 9, "▂█"},
		{[]uint64{5}, -1, ""},
	} {
		if got := curve(tt.values, tt.columns); got != tt.want {
			t.Errorf("%v in %d columns: %q, want %q", tt.values, tt.columns, got, tt.want)
		}
	}
}
