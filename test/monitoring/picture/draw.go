// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
	"github.com/stscredential/sts-credential-operator/test/svg"
)

const (
	step         = 2 * time.Second
	rateInterval = 15 * time.Second

	width, margin  = 1200.0, 20.0
	headHeight     = 96.0
	statHeight     = 78.0
	panelHeight    = 262.0
	gap            = 16.0
	letter         = 6.3 // width of one at font size 11, about
	colorBand      = "#bf8700"
	panelsInOneRow = 2
)

// drawn are the panels of the dashboard that change within minutes, with the titles of their vertical axes.
var drawn = []struct{ title, axis string }{
	{"Time to expiry", "time left"},
	{"Renewals by result", "attempts in " + short(rateInterval.Seconds(), "s")},
	{"Calls to STS by answer", "calls per second"},
	{"Latency of STS", "time of a call"},
	{"Calls and what the budget allows", "calls per second"},
	{"Wait for a turn", "time of waiting"},
	{"Expired", "credentials"},
	{"Alerts that fire", "alerts"},
}

// canvas is the page.
type canvas struct{ *svg.Canvas }

// draw queries Prometheus for each panel, and draws them on one page.
func draw(ctx context.Context, prometheus environment.Prometheus, dashboard *environment.Dashboard, s timeline) (string, error) {
	var stats []environment.Panel
	panels := make([]chart, len(drawn))
	for _, panel := range dashboard.Panels {
		if panel.Type == "stat" {
			stats = append(stats, panel)
		}
		for i, d := range drawn {
			if panel.Type == "timeseries" && panel.Title == d.title {
				panels[i] = chart{panel: panel, axis: d.axis, seen: s}
			}
		}
	}
	height := headHeight + statHeight + gap + (panelHeight+gap)*float64((len(panels)+1)/panelsInOneRow) + margin - gap
	c := &canvas{svg.New(width, height)}
	c.Text(margin, 38, 22, "start", svg.ColorText, "600", dashboard.Title)
	c.Text(margin, 62, 13, "start", svg.ColorQuiet, "400", headline(s))
	c.Text(margin, 80, 13, "start", svg.ColorQuiet, "400", "At the end of the run:")
	if err := c.stats(ctx, prometheus, stats, s); err != nil {
		return "", err
	}
	w := (width - 2*margin - gap) / panelsInOneRow
	for i := range panels {
		p := &panels[i]
		p.canvas = c
		p.box = box{margin + float64(i%panelsInOneRow)*(w+gap), headHeight + statHeight + gap + float64(i/panelsInOneRow)*(panelHeight+gap), w, panelHeight}
		var err error
		if p.lines, err = queryLines(ctx, prometheus, p.panel, s); err != nil {
			return "", err
		}
		p.draw()
	}
	return c.String(), nil
}

// headline describes the run.
func headline(s timeline) string {
	total, roles := 0, []string{}
	for _, c := range credentials {
		total += c.count
		roles = append(roles, short(c.lifetime.Seconds(), "s"))
	}
	return fmt.Sprintf("A run of %d minutes with %d credentials that live %s, %d calls per second allowed, and an emulated STS. The dashboard's queries, answered by Prometheus.",
		int(s.end.Sub(s.start).Round(time.Minute).Minutes()), total, strings.Join(roles, ", "), callsPerSecond)
}

// stats draws the row of single numbers, as they are at the end.
func (c *canvas) stats(ctx context.Context, prometheus environment.Prometheus, stats []environment.Panel, s timeline) error {
	w := (width - 2*margin - gap*float64(len(stats)-1)) / float64(len(stats))
	for i, panel := range stats {
		series, err := prometheus.QueryRange(ctx, environment.Query(panel.Targets[0].Expr, rateInterval, s.end.Sub(s.start)), s.end, s.end, step)
		if err != nil {
			return err
		}
		value := "–"
		if len(series) > 0 {
			value = short(series[0].Values[0].Value, panel.FieldConfig.Defaults.Unit)
		}
		x := margin + float64(i)*(w+gap)
		c.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="6" fill="%s" stroke="%s"/>`, x, headHeight, w, statHeight, svg.ColorPanel, svg.ColorGrid)
		c.Text(x+w/2, headHeight+24, 12, "middle", svg.ColorQuiet, "400", panel.Title)
		c.Text(x+w/2, headHeight+58, 24, "middle", svg.ColorText, "600", value)
	}
	return nil
}

// line is a series with its name in the legend and its colour.
type line struct {
	name, color string
	dashed      bool
	samples     []environment.Sample
}

// placeholders are those of a legend, {{action}}.
var placeholders = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// queryLines queries all lines of a panel.
func queryLines(ctx context.Context, prometheus environment.Prometheus, panel environment.Panel, s timeline) (lines []line, err error) {
	every := step
	if panel.FieldConfig.Defaults.Custom.DrawStyle == "bars" {
		every = rateInterval
	}
	for _, target := range panel.Targets {
		series, err := prometheus.QueryRange(ctx, environment.Query(target.Expr, rateInterval, s.end.Sub(s.start)), s.start, s.end, every)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", panel.Title, err)
		}
		for _, one := range series {
			lines = append(lines, line{samples: one.Values, name: placeholders.ReplaceAllStringFunc(target.LegendFormat, func(p string) string {
				return one.Metric[placeholders.FindStringSubmatch(p)[1]]
			})})
		}
	}
	paint(lines, panel)
	return lines, nil
}

// named are Grafana's names of colours.
var named = map[string]string{"green": "#2da44e", "red": "#cf222e", "blue": "#0969da", "yellow": "#d4a72c", "orange": "#e16f24", "purple": "#8250df", "dark-red": "#82071e"}

// paint sets the colour of each line: that of the dashboard, or the next of the palette.
func paint(lines []line, panel environment.Panel) {
	next := 0
	for i := range lines {
		for _, override := range panel.FieldConfig.Overrides {
			if override.Matcher.Options != lines[i].name {
				continue
			}
			for _, property := range override.Properties {
				value, _ := property.Value.(map[string]any)
				if color, ok := value["fixedColor"].(string); ok {
					lines[i].color = named[color]
				}
				lines[i].dashed = lines[i].dashed || property.ID == "custom.lineStyle"
			}
		}
		if lines[i].color == "" {
			lines[i].color = svg.Palette[next%len(svg.Palette)]
			next++
		}
	}
}
