package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// recording is what a Prometheus server would have stored of the scrapes in a file.
type recording struct {
	byHash map[uint64][]*promql.Series
	// What each member's last scrape had: a series that is gone from the next one gets a stale marker.
	present map[string]map[*promql.Series]bool
	last    map[string]int64
	scrapes int
}

// readRecording reads blocks of `# scrape MEMBER UNIX_MILLISECONDS` and the lines that were served. A block without
// lines is a scrape that failed.
func readRecording(path string) (*recording, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var text io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(file); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	r := &recording{
		byHash:  map[uint64][]*promql.Series{},
		present: map[string]map[*promql.Series]bool{},
		last:    map[string]int64{},
	}
	var member string
	var at int64
	var body strings.Builder
	flush := func() error {
		if member == "" {
			return nil
		}
		err := r.scrape(member, at, body.String())
		body.Reset()
		return err
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "# scrape "); ok {
			if err := flush(); err != nil {
				return nil, fmt.Errorf("%s, above line %d: %w", path, number, err)
			}
			name, millis, _ := strings.Cut(rest, " ")
			if at, err = strconv.ParseInt(millis, 10, 64); err != nil || name == "" {
				return nil, fmt.Errorf("%s:%d: not a scrape with a member and milliseconds: %q", path, number, line)
			}
			member = name
		} else if !strings.HasPrefix(line, "#") && line != "" {
			if member == "" {
				return nil, fmt.Errorf("%s:%d: a sample before the first scrape", path, number)
			}
			body.WriteString(line)
			body.WriteByte('\n')
		}
	}
	if err := errors.Join(lines.Err(), flush()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.scrapes == 0 {
		return nil, fmt.Errorf("%s: no scrape in it", path)
	}
	return r, nil
}

func (r *recording) scrape(member string, at int64, body string) error {
	if at <= r.last[member] {
		return fmt.Errorf("%s was scraped at %d and then at %d", member, r.last[member], at)
	}
	r.last[member] = at
	r.scrapes++
	target := []labels.Label{{Name: "instance", Value: member}, {Name: "job", Value: "etcd"}}
	now := map[*promql.Series]bool{}
	add := func(l labels.Labels, v float64) error {
		series := r.series(l)
		if now[series] {
			return fmt.Errorf("%s appears twice in the scrape of %s at %d", l, member, at)
		}
		now[series] = true
		series.Floats = append(series.Floats, promql.FPoint{T: at, F: v})
		return nil
	}
	parser := textparse.NewPromParser([]byte(body), labels.NewSymbolTable(), false)
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var served labels.Labels
		parser.Labels(&served)
		_, _, v := parser.Series()
		b := labels.NewBuilder(served)
		for _, l := range target {
			b.Set(l.Name, l.Value)
		}
		if err := add(b.Labels(), v); err != nil {
			return err
		}
	}
	for series := range r.present[member] {
		if !now[series] {
			series.Floats = append(series.Floats, promql.FPoint{T: at, F: math.Float64frombits(value.StaleNaN)})
		}
	}
	up := 0.0
	if body != "" {
		up = 1
	}
	r.present[member] = now
	// The server's own series: never stale while the target is there.
	upSeries := r.series(labels.New(append(target, labels.Label{Name: labels.MetricName, Value: "up"})...))
	upSeries.Floats = append(upSeries.Floats, promql.FPoint{T: at, F: up})
	return nil
}

func (r *recording) series(l labels.Labels) *promql.Series {
	hash := l.Hash()
	for _, s := range r.byHash[hash] {
		if labels.Equal(s.Metric, l) {
			return s
		}
	}
	s := &promql.Series{Metric: l}
	r.byHash[hash] = append(r.byHash[hash], s)
	return s
}

// end is the time of the last scrape, in milliseconds.
func (r *recording) end() int64 {
	var end int64
	for _, at := range r.last {
		end = max(end, at)
	}
	return end
}

func (r *recording) members() []string {
	var names []string
	for name := range r.last {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// The least that the engine asks of a storage.

func (r *recording) Querier(_, _ int64) (storage.Querier, error) { return r, nil }

func (r *recording) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{}
	for _, bucket := range r.byHash {
		for _, s := range bucket {
			if matches(s.Metric, matchers) {
				set.series = append(set.series, s)
			}
		}
	}
	sort.Slice(set.series, func(i, j int) bool {
		return labels.Compare(set.series[i].Metric, set.series[j].Metric) < 0
	})
	return set
}

func matches(l labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (r *recording) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("not asked for by an alert")
}

func (r *recording) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("not asked for by an alert")
}

func (r *recording) Close() error { return nil }

type seriesSet struct {
	series []*promql.Series
	next   int
}

func (s *seriesSet) Next() bool {
	s.next++
	return s.next <= len(s.series)
}
func (s *seriesSet) At() storage.Series                { return promql.NewStorageSeries(*s.series[s.next-1]) }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
