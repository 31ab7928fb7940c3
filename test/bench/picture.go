// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/stscredential/sts-credential-operator/test/svg"
)

// plot is one chart of the picture: lines over the number of credentials.
type plot struct {
	title, unit string
	lines       []line
}

type line struct {
	name  string
	value func(sized) float64
}

// plots are the charts of the picture.
var plots = []plot{
	{"First issuance of all, with their creation", "seconds", []line{
		{"operator", func(s sized) float64 { return s.Created.Took.Seconds() }},
		{"baseline", func(s sized) float64 { return s.BaselineCreated.Took.Seconds() }},
	}},
	{"Rate of first issuances", "credentials per second", []line{
		{"operator, waiting", func(s sized) float64 { return s.Waiting.perSecond(s.N) }},
		{"baseline, waiting", func(s sized) float64 { return s.BaselineWaiting.perSecond(s.N) }},
		{"operator, created", func(s sized) float64 { return s.Created.perSecond(s.N) }},
		{"baseline, created", func(s sized) float64 { return s.BaselineCreated.perSecond(s.N) }},
	}},
	{"CPU of the operator for each", "milliseconds", []line{
		{"first issuance", func(s sized) float64 { return s.Created.cpu(s.N) }},
		{"restart", func(s sized) float64 { return s.Restart.CPU.Seconds() * 1000 / float64(s.N) }},
	}},
	{"Memory of the operator", "MiB", []line{
		{"after the first issuance", func(s sized) float64 { return mib(s.Created.RSS) }},
		{"peak", func(s sized) float64 { return mib(s.Created.Peak) }},
		{"after a restart", func(s sized) float64 { return mib(s.Restart.RSS) }},
	}},
}

const (
	plotWidth, plotHeight = 580.0, 280.0
	gap, headline         = 16.0, 64.0
)

// picture is the SVG.
func (r results) picture() string {
	rows := float64((len(plots) + 1) / 2)
	c := svg.New(2*plotWidth+3*gap, headline+rows*(plotHeight+gap))
	c.Text(gap, 30, 20, "start", svg.ColorText, "600", "Cost against the number of credentials")
	c.Text(gap, 50, 12, "start", svg.ColorQuiet, "400", fmt.Sprintf(
		"%d cores for everything, STS answers after %s, %d workers. Baseline: a plain loop that does the same.", r.Conditions.Cores, r.Conditions.Latency, r.Conditions.Workers))
	for i, p := range plots {
		p.draw(c, gap+float64(i%2)*(plotWidth+gap), headline+float64(i/2)*(plotHeight+gap), r.Sizes)
	}
	return c.String()
}

// draw draws the chart with its upper left corner at a point. Both axes begin at 0.
func (p plot) draw(c *svg.Canvas, left, top float64, sizes []sized) {
	c.Panel(left, top, plotWidth, plotHeight, p.title)
	x0, y0, w, h := left+62, top+plotHeight-62, plotWidth-62-24, plotHeight-40-62
	most, largest := 0.0, 1.0
	for _, s := range sizes {
		largest = max(largest, float64(s.N))
		for _, l := range p.lines {
			most = max(most, l.value(s)*1.06)
		}
	}
	most = max(most, 1e-9)
	px := func(n int) float64 { return x0 + float64(n)/largest*w }
	py := func(v float64) float64 { return y0 - v/most*h }
	for _, v := range svg.Ticks(0, most, 5) {
		c.Add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`, x0, py(v), x0+w, py(v), svg.ColorGrid)
		c.Text(x0-8, py(v)+4, 11, "end", svg.ColorQuiet, "400", fmt.Sprintf("%.4g", v))
	}
	for _, s := range sizes {
		c.Text(px(s.N), y0+17, 11, "middle", svg.ColorQuiet, "400", fmt.Sprint(s.N))
	}
	c.Text(x0+w, y0+32, 11, "end", svg.ColorQuiet, "400", "credentials")
	c.Upright(left+16, y0-h/2, 11, svg.ColorQuiet, p.unit)
	for i, l := range p.lines {
		color := svg.Palette[i]
		var points []string
		for _, s := range sizes {
			points = append(points, fmt.Sprintf("%.1f,%.1f", px(s.N), py(l.value(s))))
			c.Add(`<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, px(s.N), py(l.value(s)), color)
		}
		c.Add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(points, " "), color)
		x := left + 14 + float64(i)*(plotWidth-28)/float64(len(p.lines))
		c.Add(`<rect x="%.1f" y="%.1f" width="11" height="4" fill="%s"/>`, x, top+plotHeight-18, color)
		c.Text(x+16, top+plotHeight-12, 11, "start", svg.ColorText, "400", l.name)
	}
}
