package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compile(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// conforms holds a policy to the schema.
func conforms(t testing.TB, s *jsonschema.Schema, policy []byte) error {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal(policy, &doc); err != nil {
		return err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

// TestWrong holds the messages about wrong policies to those in testdata/wrong.txtar:
// each begins with what Parse has to say of it, as comments. The schema refuses the
// policy too, unless the file's name says that it takes more than a schema to see.
func TestWrong(t *testing.T) {
	schema := compile(t)
	ar, err := txtar.ParseFile("testdata/wrong.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range ar.Files {
		var want, rest strings.Builder
		for line := range strings.Lines(string(f.Data)) {
			if text, ok := strings.CutPrefix(line, "# "); ok && rest.Len() == 0 {
				want.WriteString(text)
			} else {
				rest.WriteString(line)
			}
		}
		_, err := Parse("p", []byte(rest.String()))
		if err == nil {
			t.Errorf("%s: taken", f.Name)
			continue
		}
		got := err.Error() + "\n"
		if got != want.String() && !*update {
			t.Errorf("%s: got\n%swant\n%s", f.Name, got, want.String())
		}
		ar.Files[i].Data = []byte("# " + strings.ReplaceAll(strings.TrimSuffix(got, "\n"), "\n", "\n# ") + "\n" + rest.String())
		if err := conforms(t, schema, []byte(rest.String())); err == nil && !strings.HasSuffix(f.Name, "(schema cannot tell)") {
			t.Errorf("%s: the schema takes it", f.Name)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/wrong.txtar", txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeep refuses what the parser takes too long for, or breaks down at.
func TestDeep(t *testing.T) {
	for _, s := range []string{"[", "{a: ", "- ", "[a,", "[{"} {
		if _, err := Parse("p", []byte(strings.Repeat(s, 60000))); err == nil || !strings.Contains(err.Error(), "p: nested deeper than 100") {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := Parse("p", []byte("# "+strings.Repeat("-", 200)+"\nversion: 1\n")); err != nil {
		t.Error(err)
	}
	name := filepath.Join(t.TempDir(), "long.yaml")
	if err := os.WriteFile(name, bytes.Repeat([]byte("# long\n"), 50000), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err == nil || !strings.Contains(err.Error(), "longer than 262144 octets") {
		t.Error(err)
	}
}

// TestSchema holds the schema to the policies that Parse takes.
func TestSchema(t *testing.T) {
	schema := compile(t)
	policies := map[string][]byte{"default": Default}
	files, err := filepath.Glob("testdata/judge/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range ar.Files {
			if strings.HasSuffix(f.Name, ".yaml") {
				policies[name+" "+f.Name] = f.Data
			}
		}
	}
	for name, p := range policies {
		if _, err := Parse(name, p); err != nil {
			t.Error(err)
		}
		if err := conforms(t, schema, p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Default)
	if ar, err := txtar.ParseFile("testdata/wrong.txtar"); err == nil {
		for _, file := range ar.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("p", data)
		if err == nil && len(p.Blocks) == 0 {
			t.Error("a policy without blocks")
		}
		if err == nil {
			NewJudge(p).Verdict().Record()
		}
	})
}
