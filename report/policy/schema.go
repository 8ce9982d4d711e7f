package policy

import (
	_ "embed"
	"encoding/json"

	"tcplife/report/anomaly"
)

//go:embed tcplife-policy.schema.json
var schema []byte

// Schema returns the JSON Schema of policies, for editors and other checks: with
// the rules, settings, suspects and numbers that there are.
func Schema() []byte {
	var doc map[string]any
	if err := json.Unmarshal(schema, &doc); err != nil {
		panic(err) // it is ours
	}
	at := func(path ...string) map[string]any {
		m := doc
		for _, key := range path {
			m = m[key].(map[string]any)
		}
		return m
	}
	var rules, settings, suspects []string
	for _, r := range anomaly.All {
		rules = append(rules, r.Name)
		for _, s := range r.Settings {
			settings = append(settings, r.Name+"."+s.Name)
		}
	}
	for s := anomaly.ClientApp; s <= anomaly.TheCapture; s++ {
		suspects = append(suspects, s.String())
	}
	at("properties", "set", "propertyNames")["enum"] = settings
	at("$defs", "rules", "propertyNames")["enum"] = rules
	at("$defs", "exceptions", "items", "properties", "rule")["enum"] = rules
	at("$defs", "where", "properties", "suspect")["enum"] = suspects
	limits := at("$defs", "limits", "properties")
	for _, m := range Metrics {
		limits[m.Name] = map[string]any{
			"description": m.Doc,
			"$ref":        "#/$defs/" + [...]string{timed: "times", shared: "shares", counted: "counts", peak: "peaks"}[m.kind],
		}
	}
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // it was JSON
	}
	return append(out, '\n')
}
