package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const deploy = "../../deploy/"

// TestNamesDeployed: the alerts and the dashboard ask for metrics and labels that
// there are.
func TestNamesDeployed(t *testing.T) {
	m := counted(t, closed+"\n"+reset, false)
	text := scrape(t, m, "text/plain")
	for _, name := range []string{"alerts.yml", "grafana-dashboard.json"} {
		b, err := os.ReadFile(deploy + name)
		if err != nil {
			t.Fatal(err)
		}
		asked := regexp.MustCompile(`tcplife_[a-z_]+`).FindAllString(string(b), -1)
		for _, metric := range asked {
			if !strings.Contains(text, "\n"+metric+" ") && !strings.Contains(text, "\n"+metric+"{") {
				t.Errorf("%s asks for %s, which is not there", name, metric)
			}
		}
		for _, state := range regexp.MustCompile(`state=\\?"([A-Z_]+)`).FindAllStringSubmatch(string(b), -1) {
			if !strings.Contains(text, `state="`+state[1]+`"`) {
				t.Errorf("%s asks for the state %s", name, state[1])
			}
		}
		for _, outcomes := range regexp.MustCompile(`outcome=~"([a-z|-]+)"`).FindAllStringSubmatch(string(b), -1) {
			for o := range strings.SplitSeq(outcomes[1], "|") {
				if !strings.Contains(text, `outcome="`+o+`"`) {
					t.Errorf("%s asks for the outcome %s", name, o)
				}
			}
		}
		if len(asked) < 10 {
			t.Errorf("%s asks for nothing", name)
		}
	}
}

// TestDashboard has Prometheus parse every question of the dashboard, as the
// expressions of rules.
func TestDashboard(t *testing.T) {
	promtool := needPromtool(t)
	b, err := os.ReadFile(deploy + "grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	variables := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*")
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			rules = append(rules, rule{"a:b", variables.Replace(q.Expr)})
		}
	}
	// JSON is YAML.
	file, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	name := t.TempDir() + "/rules.yml"
	if err := os.WriteFile(name, file, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", "--lint=none", name).CombinedOutput(); err != nil || len(rules) < 10 {
		t.Errorf("%d rules: %v\n%s", len(rules), err, out)
	}
}

func TestAlerts(t *testing.T) {
	promtool := needPromtool(t)
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = deploy
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

func needPromtool(t *testing.T) string {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool, of the Debian package prometheus")
	}
	return promtool
}
