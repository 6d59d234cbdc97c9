package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/go-jsonnet"
)

// render makes the mixin's alerts from its folder, with its own defaults. Dashboards are left out: they need a library
// that the mixin does not bring.
func render(folder string) (string, error) {
	vm := jsonnet.MakeVM()
	vm.Importer(&jsonnet.FileImporter{JPaths: []string{folder}})
	return vm.EvaluateAnonymousSnippet("alerts",
		`((import 'config.libsonnet') + (import 'alerts/alerts.libsonnet')).prometheusAlerts`)
}

type rules struct {
	Groups []struct {
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

type rule struct {
	Alert  string            `json:"alert"`
	Expr   string            `json:"expr"`
	For    string            `json:"for"`
	Labels map[string]string `json:"labels"`
}

func readRules(path string) ([]rule, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file rules
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var alerts []rule
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			if r.Alert != "" {
				alerts = append(alerts, r)
			}
		}
	}
	if len(alerts) == 0 {
		return nil, fmt.Errorf("%s: no alert in it", path)
	}
	return alerts, nil
}
