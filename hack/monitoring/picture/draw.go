// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/hack/monitoring"
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
	colorText      = "#24292f"
	colorQuiet     = "#6e7781"
	colorGrid      = "#d8dee4"
	colorPanel     = "#ffffff"
	colorPage      = "#f6f8fa"
	colorBand      = "#bf8700"
	fontFamily     = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, 'DejaVu Sans', sans-serif"
	panelsInOneRow = 2
)

// drawn are the panels of the dashboard that have something to tell in minutes, with what their vertical axis counts.
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

// canvas collects SVG.
type canvas struct{ strings.Builder }

func (c *canvas) add(format string, args ...any) { _, _ = fmt.Fprintf(c, format+"\n", args...) }

// text writes at a point; anchor is start, middle or end.
func (c *canvas) text(x, y, size float64, anchor, color, weight, content string) {
	c.add(`<text x="%.1f" y="%.1f" font-size="%g" text-anchor="%s" fill="%s" font-weight="%s">%s</text>`,
		x, y, size, anchor, color, weight, html.EscapeString(content))
}

// draw asks Prometheus for each panel and puts them on one page.
func draw(ctx context.Context, prometheus monitoring.Prometheus, dashboard *monitoring.Dashboard, s seen) (string, error) {
	var stats []monitoring.Panel
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
	c := &canvas{}
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="%s">`, width, height, fontFamily)
	c.add(`<rect width="100%%" height="100%%" fill="%s"/>`, colorPage)
	c.text(margin, 38, 22, "start", colorText, "600", dashboard.Title)
	c.text(margin, 62, 13, "start", colorQuiet, "400", headline(s))
	c.text(margin, 80, 13, "start", colorQuiet, "400", "At the end of the run:")
	if err := c.stats(ctx, prometheus, stats, s); err != nil {
		return "", err
	}
	w := (width - 2*margin - gap) / panelsInOneRow
	for i := range panels {
		p := &panels[i]
		p.canvas = c
		p.box = box{margin + float64(i%panelsInOneRow)*(w+gap), headHeight + statHeight + gap + float64(i/panelsInOneRow)*(panelHeight+gap), w, panelHeight}
		var err error
		if p.lines, err = askLines(ctx, prometheus, p.panel, s); err != nil {
			return "", err
		}
		p.draw()
	}
	c.add("</svg>")
	return c.String(), nil
}

// headline says what the run was.
func headline(s seen) string {
	total, roles := 0, []string{}
	for _, c := range credentials {
		total += c.count
		roles = append(roles, short(c.lifetime.Seconds(), "s"))
	}
	return fmt.Sprintf("A run of %d minutes with %d credentials that live %s, %d calls per second allowed, and an emulated STS. The dashboard's queries, answered by Prometheus.",
		int(s.end.Sub(s.start).Round(time.Minute).Minutes()), total, strings.Join(roles, ", "), callsPerSecond)
}

// stats draws the row of single numbers, as they are at the end.
func (c *canvas) stats(ctx context.Context, prometheus monitoring.Prometheus, stats []monitoring.Panel, s seen) error {
	w := (width - 2*margin - gap*float64(len(stats)-1)) / float64(len(stats))
	for i, panel := range stats {
		series, err := prometheus.QueryRange(ctx, monitoring.Query(panel.Targets[0].Expr, rateInterval, s.end.Sub(s.start)), s.end, s.end, step)
		if err != nil {
			return err
		}
		value := "–"
		if len(series) > 0 {
			value = short(series[0].Values[0].Value, panel.FieldConfig.Defaults.Unit)
		}
		x := margin + float64(i)*(w+gap)
		c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="6" fill="%s" stroke="%s"/>`, x, headHeight, w, statHeight, colorPanel, colorGrid)
		c.text(x+w/2, headHeight+24, 12, "middle", colorQuiet, "400", panel.Title)
		c.text(x+w/2, headHeight+58, 24, "middle", colorText, "600", value)
	}
	return nil
}

// line is a series with its name in the legend and its colour.
type line struct {
	name, color string
	dashed      bool
	samples     []monitoring.Sample
}

// placeholders are those of a legend, {{action}}.
var placeholders = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// askLines are all lines of a panel.
func askLines(ctx context.Context, prometheus monitoring.Prometheus, panel monitoring.Panel, s seen) (lines []line, err error) {
	every := step
	if panel.FieldConfig.Defaults.Custom.DrawStyle == "bars" {
		every = rateInterval
	}
	for _, target := range panel.Targets {
		series, err := prometheus.QueryRange(ctx, monitoring.Query(target.Expr, rateInterval, s.end.Sub(s.start)), s.start, s.end, every)
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

// palette is for what the dashboard gives no colour.
var palette = []string{"#0969da", "#bf3989", "#bc4c00", "#8250df", "#1b7c83", "#9a6700", "#cf222e", "#57606a", "#1a7f37"}

// named are Grafana's names of colours.
var named = map[string]string{"green": "#2da44e", "red": "#cf222e", "blue": "#0969da", "yellow": "#d4a72c", "orange": "#e16f24", "purple": "#8250df", "dark-red": "#82071e"}

// paint gives each line its colour: the dashboard's, or the next of the palette.
func paint(lines []line, panel monitoring.Panel) {
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
			lines[i].color = palette[next%len(palette)]
			next++
		}
	}
}
