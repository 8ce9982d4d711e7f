package screen

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"tcplife/decode/capture"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// Model is the screen: what it shows, and what the user wants to see of it.
type Model struct {
	source string      // what is captured from
	ask    func(Query) // told what to survey next

	width, height int
	now           *Survey
	shown         *Survey // now, unless it is frozen
	rate          float64 // packets a second
	curves        [numStates][]uint64
	findings      []Finding // the latest first
	shownFound    []Finding // findings, unless they are frozen
	messages      []string  // the latest of what went wrong, and how many
	query         Query
	frozen        bool
	typing        bool   // a filter
	typed         string // that filter, until it is used
	alone         *Alone // what was known last of query.Conn
	help          bool
	chosen        bool   // the user has selected one; the first is otherwise
	selected      uint64 // id
	top           int    // the first row on the screen
}

// New returns a screen for what is captured from source. When the user wants to see
// other connections, ask is called with which.
func New(source string, ask func(Query)) *Model {
	return &Model{source: report.Printable(source), ask: ask, width: 80, height: 24}
}

// maxFindings is how many are kept to be seen.
const maxFindings = 200

// maxCurve is how many surveys a curve goes back.
const maxCurve = 60

// A Message tells the user of something that went wrong.
type Message string

// Done says that there will be no more surveys.
type Done struct{}

// Init makes it a tea.Model.
func (m *Model) Init() tea.Cmd { return nil }

// Update takes a *Survey, a Finding, a Message, Done, or what the user does.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case *Survey:
		m.survey(msg)
	case Finding:
		m.findings = append([]Finding{msg}, m.findings[:min(len(m.findings), maxFindings-1)]...)
		if !m.frozen {
			m.shownFound = m.findings
		}
	case Message:
		m.messages = append(m.messages, string(msg))
	case Done:
		return m, tea.Quit
	case tea.KeyPressMsg:
		then := m.key(msg)
		return m, then
	}
	return m, nil
}

func (m *Model) survey(s *Survey) {
	if m.now != nil {
		if d := s.Now.Sub(m.now.Now); d > 0 && s.Packets >= m.now.Packets {
			m.rate = float64(s.Packets-m.now.Packets) / d.Seconds()
		}
	}
	for i, n := range s.States {
		m.curves[i] = append(m.curves[i], n)
		m.curves[i] = m.curves[i][max(0, len(m.curves[i])-maxCurve):]
	}
	m.now = s
	if !m.frozen {
		m.show(s)
	}
}

func (m *Model) show(s *Survey) {
	m.shown = s
	if s.Alone != nil {
		m.alone = s.Alone
	}
	m.shownFound = m.findings
	m.selectRow()
}

// selectRow sees to it that one of the rows is selected, if there is one.
func (m *Model) selectRow() {
	rows := m.rows()
	switch {
	case len(rows) == 0:
	case !m.chosen:
		m.selected, m.top = rows[0].ID, 0
	case m.index() < 0:
		m.selected = rows[min(m.top, len(rows)-1)].ID
	}
}

// index returns which row is selected, -1 if none is.
func (m *Model) index() int {
	return slices.IndexFunc(m.rows(), func(r Row) bool { return r.ID == m.selected })
}

func (m *Model) rows() []Row {
	if m.shown == nil {
		return nil
	}
	return m.shown.Rows
}

func (m *Model) key(k tea.KeyPressMsg) tea.Cmd {
	if m.typing {
		m.edit(k)
		return nil
	}
	switch k.String() {
	case "q", "ctrl+c":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "esc":
		switch {
		case m.help:
			m.help = false
		case m.query.Conn != 0:
			m.want(func(q *Query) { q.Conn = 0 })
		case m.query.Filter != "":
			m.want(func(q *Query) { q.Filter = "" })
		}
	case "?", "h":
		m.help = !m.help
	case "s":
		m.want(func(q *Query) { q.Sort = (q.Sort + 1) % numSorts })
	case "r":
		m.want(func(q *Query) { q.Reverse = !q.Reverse })
	case "/":
		m.typing, m.typed = true, m.query.Filter
	case "f", "space":
		if m.frozen = !m.frozen; !m.frozen && m.now != nil {
			m.show(m.now)
		}
	case "enter":
		if i := m.index(); i >= 0 && m.query.Conn == 0 {
			m.alone = &Alone{Row: m.rows()[i]}
			m.want(func(q *Query) { q.Conn = m.selected })
		}
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup":
		m.move(-m.room())
	case "pgdown":
		m.move(m.room())
	case "home", "g":
		m.move(-len(m.rows()))
	case "end", "G":
		m.move(len(m.rows()))
	}
	return nil
}

// edit takes a key of the filter that is typed.
func (m *Model) edit(k tea.KeyPressMsg) {
	switch k.String() {
	case "enter":
		m.typing = false
		m.want(func(q *Query) { q.Filter = m.typed })
	case "esc", "ctrl+c":
		m.typing = false
	case "backspace":
		if r := []rune(m.typed); len(r) > 0 {
			m.typed = string(r[:len(r)-1])
		}
	default:
		if len(m.typed)+len(k.Text) <= 60 {
			m.typed += k.Text
		}
	}
}

// want changes what the user wants to see.
func (m *Model) want(change func(*Query)) {
	change(&m.query)
	m.ask(m.query)
	if m.shown != nil && !m.frozen { // until the next survey, of what there is
		s := *m.shown
		s.Rows, s.Query = slices.Clone(s.Rows), m.query
		s.Query.Filter = strings.ToLower(s.Query.Filter)
		s.Rows = slices.DeleteFunc(s.Rows, func(r Row) bool { return !s.Query.wants(&r) })
		s.Sort()
		m.shown = &s
		m.selectRow()
	}
}

func (m *Model) move(by int) {
	rows := m.rows()
	if len(rows) == 0 {
		return
	}
	i := min(max(m.index()+by, 0), len(rows)-1)
	m.selected, m.chosen = rows[i].ID, i > 0
}

const (
	head       = 5 // lines above the connections: totals, states, captions
	foundLines = 4 // lines of findings, their caption among them
)

// room returns how many connections fit.
func (m *Model) room() int { return max(m.height-head-foundLines-1, 1) }

// View draws it.
func (m *Model) View() tea.View {
	v := tea.NewView(m.draw())
	v.AltScreen = true
	v.WindowTitle = "tcplife live " + m.source
	return v
}

// Attributes of text.
const (
	plain   = ""
	bold    = "\x1b[1m"
	dim     = "\x1b[2m"
	inverse = "\x1b[7m"
	red     = "\x1b[31m"
	yellow  = "\x1b[33m"
	off     = "\x1b[m"
)

// A page is lines that fit the screen.
type page struct {
	width int
	lines []string
}

// add adds a line, cut to the width.
func (p *page) add(attr, format string, args ...any) {
	text := []rune(fmt.Sprintf(format, args...))
	if len(text) > p.width {
		text = text[:p.width]
	}
	line := string(text)
	if attr == inverse {
		line += strings.Repeat(" ", p.width-len(text))
	}
	if attr != plain {
		line = attr + line + off
	}
	p.lines = append(p.lines, line)
}

func (m *Model) draw() string {
	p := &page{width: m.width}
	m.totals(p)
	switch {
	case m.help:
		m.keys(p)
	case m.query.Conn != 0:
		m.ladder(p)
	default:
		m.states(p)
		m.connections(p)
		m.found(p)
	}
	for len(p.lines) < m.height-1 {
		p.add(plain, "")
	}
	p.lines = p.lines[:max(m.height-1, 0)]
	if m.typing {
		p.add(bold, "filter: %s_", m.typed)
	} else {
		p.add(dim, "%s", m.hint())
	}
	return strings.Join(p.lines, "\n")
}

func (m *Model) hint() string {
	switch {
	case m.help:
		return "esc back"
	case m.query.Conn != 0:
		return "esc back  f freeze  q quit"
	}
	return "↑↓ choose  enter ladder  s sort  r reverse  / filter  f freeze  ? help  q quit"
}

func (m *Model) totals(p *page) {
	s := m.shown
	if s == nil {
		p.add(bold, "tcplife live %s: waiting for packets", m.source)
		return
	}
	line := fmt.Sprintf("tcplife live %s  %s  %s open  %s packets/s", report.Elide(m.source, 20), s.Now.UTC().Format("15:04:05 UTC"),
		report.Digits(s.Open), report.Octets(uint64(m.rate)))
	if s.Dropped > 0 {
		line += fmt.Sprintf("  %s dropped", report.Octets(s.Dropped))
	}
	if 2*s.Tracking > s.Limit {
		line += fmt.Sprintf("  memory %d%%", 100*s.Tracking/max(s.Limit, 1))
	}
	if m.query.Filter != "" {
		line += fmt.Sprintf("  %s with %q", report.Digits(s.Matching), m.query.Filter)
	}
	if m.frozen {
		line += "  FROZEN"
	}
	p.add(bold, "%s", line)
}

// told is the states that the screen counts, as they follow each other.
var told = [9]track.State{
	track.SynSent, track.FinWait1, track.CloseWait,
	track.SynReceived, track.FinWait2, track.LastAck,
	track.Established, track.Closing, track.TimeWait,
}

// states has a count and a curve for each state.
func (m *Model) states(p *page) {
	const columns = 3
	width := max((m.width-columns+1)/columns, 19)
	for i := 0; i < len(told); i += columns {
		var cells []string
		for _, st := range told[i : i+columns] {
			var n uint64
			if m.shown != nil {
				n = m.shown.States[st]
			}
			cell := fmt.Sprintf("%-11s %6s ", st, report.Octets(n))
			cells = append(cells, fmt.Sprintf("%-*s", width, cell+curve(m.curves[st], width-len(cell))))
		}
		p.add(plain, "%s", strings.TrimRight(strings.Join(cells, " "), " "))
	}
}

// curve draws the last values of a count in so many columns, the largest of them as
// high as a line is.
func curve(values []uint64, columns int) string {
	values = values[max(0, len(values)-max(columns, 0)):]
	most := uint64(0)
	for _, v := range values {
		most = max(most, v)
	}
	if most == 0 {
		return ""
	}
	var b strings.Builder
	for _, v := range values {
		if v == 0 {
			b.WriteRune(' ')
			continue
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[(v*7+most-1)/most])
	}
	return b.String()
}

func (m *Model) connections(p *page) {
	// The ID takes 5 columns, each state 12 with its mark, octets 5, age or silence
	// 4, what is between them 4; what is left is the addresses', 19 of 80.
	address := max((m.width-42)/2, 12)
	since, last := "age", func(r *Row) capture.Time { return r.Start }
	if m.query.Sort == ByIdle {
		since, last = "IDLE", func(r *Row) capture.Time { return r.Last }
	}
	caption := func(s Sort, name string) string {
		if m.query.Sort == s {
			return strings.ToUpper(name)
		}
		return name
	}
	order := ""
	if m.query.Reverse {
		order = " reversed"
	}
	if m.query.Sort == ByAge {
		since = "AGE"
	}
	p.add(dim, "%5s %-*s %-*s %-24s%5s %4s", "ID", address, "client", address, "server",
		caption(ByState, "states")+order, caption(ByBytes, "bytes"), since)
	rows, at, room := m.rows(), m.index(), m.room()
	m.top = min(m.top, max(len(rows)-room, 0))
	if at >= 0 {
		m.top = min(max(m.top, at-room+1), at)
	}
	for i := m.top; i < min(m.top+room, len(rows)); i++ {
		r := &rows[i]
		attr := plain
		if i == at {
			attr = inverse
		}
		p.add(attr, "%5d %-*s %-*s %-12s%-12s%5s %4s", r.ID,
			address, report.Elide(r.Client.String(), address), address, report.Elide(r.Server.String(), address),
			state(r, track.Client), state(r, track.Server), report.Octets(r.Bytes), age(m.shown.Now.Sub(last(r))))
	}
	for len(p.lines) < head+room {
		p.add(plain, "")
	}
}

func state(r *Row, role track.Role) string {
	s := r.States[role].String()
	if r.MayBe[role] {
		s += "?"
	}
	return s
}

func (m *Model) found(p *page) {
	list := m.shownFound
	switch {
	case len(m.messages) > 0:
		p.add(yellow, "%s", report.Printable(m.messages[len(m.messages)-1]))
	case len(list) == 0:
		p.add(dim, "no findings")
	default:
		p.add(dim, "findings")
	}
	for _, f := range list[:min(len(list), foundLines-1)] {
		f.draw(p)
	}
}

func (f *Finding) draw(p *page) {
	attr := plain
	switch f.Severity {
	case anomaly.Error:
		attr = red
	case anomaly.Warn:
		attr = yellow
	}
	where := ""
	switch {
	case !f.At.IsValid():
	case f.At.Port() == 0:
		where = " " + f.At.Addr().String()
	default:
		where = " " + f.At.String()
	}
	if f.Conn != 0 {
		where += fmt.Sprintf(" #%d", f.Conn)
	}
	p.add(attr, "%s %s%s: %s", f.Time.UTC().Format("15:04:05"), f.Rule, where, f.Message)
}

// ladder shows one connection: each change of state, and the frame that shows it.
func (m *Model) ladder(p *page) {
	a := m.alone
	over := ""
	if m.shown != nil && m.shown.Query.Conn == a.ID && m.shown.Alone == nil {
		over = ", its record is closed"
	}
	p.add(plain, "")
	p.add(bold, "#%d  %v -> %v  %s octets%s", a.ID, a.Client, a.Server, report.Octets(a.Bytes), over)
	p.add(dim, "%12s  %-12s      %-12s %s", "time", "client", "server", "frame")
	var found []Finding
	for _, f := range m.shownFound {
		if f.Conn == a.ID {
			found = append(found, f)
		}
	}
	steps := a.Steps[max(0, len(a.Steps)-max(m.height-6-len(found), 1)):]
	if len(steps) < len(a.Steps) {
		steps = steps[1:]
		p.add(dim, "%12s  %d more before", "", len(a.Steps)-len(steps))
	}
	for _, s := range steps {
		arrow, frame := "-->", fmt.Sprint(s.Frame)
		switch {
		case s.Timer:
			arrow, frame = "   ", "clock"
		case s.By == track.Server:
			arrow = "<--"
		}
		p.add(plain, "%12s  %-12s %s  %-12s %s", fmt.Sprintf("+%.6f", s.Time.Sub(a.Start).Seconds()), s.States[0], arrow, s.States[1], frame)
	}
	for _, f := range found {
		f.draw(p)
	}
}

func (m *Model) keys(p *page) {
	p.add(plain, "")
	for _, line := range []string{
		"up, down, k, j, page up, page down, home, end   choose a connection",
		"enter   its ladder: each change of state, and the frame that shows it; esc: back",
		"s       sort by state (what is stuck first), age, bytes, idle; r: the other way",
		"/       show only those with this text in an address, port or state",
		"f       freeze what is shown, and go on",
		"ctrl+z  leave it for a while; packets wait in the buffer only so long",
		"q       quit, and have the totals",
		"",
		"A ? behind a state: the same packets allow another one.",
		"To keep the packets: tcplife live -w FILE; tcplife explain FILE --conn ID then",
		"shows every segment.",
	} {
		p.add(plain, "%s", line)
	}
}

// Program returns the program that shows the screen until the user quits or Done is
// sent to it, and restores the terminal.
func Program(m *Model) *tea.Program {
	return tea.NewProgram(m, tea.WithoutSignalHandler(), tea.WithFPS(10))
}

// Messages returns what went wrong meanwhile.
func (m *Model) Messages() []string { return m.messages }
