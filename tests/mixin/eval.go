package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

type outcome struct {
	At      float64  `json:"at"`
	Members []string `json:"members"`
	Alerts  []alert  `json:"alerts"`
}

type alert struct {
	Alert    string   `json:"alert"`
	Severity string   `json:"severity"`
	For      string   `json:"for"`
	Expr     string   `json:"expr"`
	Results  []result `json:"results"`
}

type result struct {
	Labels labels.Labels `json:"labels"`
	Firing bool          `json:"firing"`
	Value  number        `json:"value"`
}

// number is null when it is not one; JSON has no infinity either.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	switch f := float64(n); {
	case math.IsNaN(f):
		return []byte("null"), nil
	case math.IsInf(f, 0):
		return json.Marshal(fmt.Sprintf("%+v", f))
	default:
		return json.Marshal(f)
	}
}

// evaluate asks the engine, set up as the Prometheus server sets it up, for each alert at one moment.
func evaluate(alerts []rule, r *recording, at time.Time) ([]alert, error) {
	parse := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples:               50_000_000,
		Timeout:                  2 * time.Minute,
		LookbackDelta:            5 * time.Minute,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		Parser:                   parse,
	})
	ask := func(expr string) (promql.Vector, error) {
		query, err := engine.NewInstantQuery(context.Background(), r, promql.NewPrometheusQueryOpts(false, 0), expr, at)
		if err != nil {
			return nil, err
		}
		defer query.Close()
		vector, err := query.Exec(context.Background()).Vector()
		// The query's memory is used again after Close.
		return append(promql.Vector(nil), vector...), err
	}
	var told []alert
	for _, rule := range alerts {
		failed := func(err error) ([]alert, error) {
			return nil, fmt.Errorf("%s (%s): %w", rule.Alert, rule.Labels["severity"], err)
		}
		expr, err := parse.ParseExpr(rule.Expr)
		if err != nil {
			return failed(err)
		}
		measured, err := compared(expr)
		if err != nil {
			return failed(err)
		}
		fires, err := ask(rule.Expr)
		if err != nil {
			return failed(err)
		}
		values, err := ask(measured.String())
		if err != nil {
			return failed(err)
		}
		results, err := join(values, fires)
		if err != nil {
			return failed(err)
		}
		told = append(told, alert{
			Alert:    rule.Alert,
			Severity: rule.Labels["severity"],
			For:      rule.For,
			Expr:     rule.Expr,
			Results:  results,
		})
	}
	return told, nil
}

// compared is the left-hand side of the outermost comparison: what the alert measures. `a > 1 and b > 2` measures a, as
// the value of `and` is that of its left side.
func compared(expr parser.Expr) (parser.Expr, error) {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return compared(e.Expr)
	case *parser.BinaryExpr:
		switch {
		case e.Op.IsComparisonOperator() && !e.ReturnBool:
			return e.LHS, nil
		case e.Op == parser.LAND || e.Op == parser.LUNLESS:
			return compared(e.LHS)
		}
	}
	return nil, fmt.Errorf("not a comparison: %s", expr)
}

// join marks those of all values that the alert itself returned. It must have returned the same numbers.
func join(values, fires promql.Vector) ([]result, error) {
	results := make([]result, 0, len(values))
	firing := 0
	for _, v := range values {
		r := result{Labels: v.Metric, Value: number(v.F)}
		for _, f := range fires {
			if labels.Equal(f.Metric, v.Metric) && f.F == v.F {
				r.Firing = true
				firing++
			}
		}
		results = append(results, r)
	}
	if firing != len(fires) {
		return nil, fmt.Errorf("it returned %v, which is not among what it measured, %v", fires, values)
	}
	sort.Slice(results, func(i, j int) bool { return labels.Compare(results[i].Labels, results[j].Labels) < 0 })
	return results, nil
}
