// Command mixin-eval says what the alerts of etcd's own mixin say of recorded scrapes, by Prometheus' own engine.
//
//	mixin-eval --rules alerts.json --scrapes FILE [--at UNIX_SECONDS]
//	mixin-eval --render FOLDER_OF_THE_MIXIN
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mixin-eval:", err)
		os.Exit(1)
	}
}

func run() error {
	folder := flag.String("render", "", "print the alerts of the mixin in this folder as JSON, and end")
	rulesPath := flag.String("rules", "", "the alerts, as --render prints them")
	scrapes := flag.String("scrapes", "", "the recording")
	at := flag.Float64("at", 0, "evaluate at this time (Unix seconds) instead of at the last scrape")
	flag.Parse()
	if *folder != "" {
		text, err := render(*folder)
		fmt.Print(text)
		return err
	}
	alerts, err := readRules(*rulesPath)
	if err != nil {
		return err
	}
	recorded, err := readRecording(*scrapes)
	if err != nil {
		return err
	}
	millis := recorded.end()
	if *at != 0 {
		millis = int64(math.Round(*at * 1e3))
	}
	told, err := evaluate(alerts, recorded, time.UnixMilli(millis))
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(outcome{At: float64(millis) / 1e3, Members: recorded.members(), Alerts: told})
}
