// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
	"github.com/stscredential/sts-credential-operator/test/svg"
)

// box is a place on the page.
type box struct{ x, y, w, h float64 }

// chart is one panel.
type chart struct {
	*canvas
	box
	panel environment.Panel
	axis  string // the title of the vertical axis
	lines []line
	seen  timeline

	plot     box // within box, the area of the axes
	min, max float64
}

func (c *chart) draw() {
	c.plot = box{c.x + 74, c.y + 40, c.w - 74 - 18, c.h - 40 - 74}
	c.Panel(c.x, c.y, c.w, c.h, c.panel.Title)
	custom := c.panel.FieldConfig.Defaults.Custom
	stacked := custom.Stacking.Mode == "normal"
	c.scale(stacked)
	c.bands()
	c.axes()
	switch {
	case custom.DrawStyle == "bars":
		c.bars()
	case stacked:
		c.areas()
	default:
		for _, l := range c.lines {
			c.path(l, c.trace(l.samples))
		}
	}
	c.legend()
}

// scale computes the range of the vertical axis.
func (c *chart) scale(stacked bool) {
	sums := map[float64]float64{}
	for _, l := range c.lines {
		for _, s := range l.samples {
			switch {
			case math.IsNaN(s.Value):
			case stacked:
				sums[s.Time] += s.Value
				c.max = max(c.max, sums[s.Time])
			default:
				c.min, c.max = min(c.min, s.Value), max(c.max, s.Value)
			}
		}
	}
	if c.max == c.min {
		c.max = c.min + 1
	}
	c.max += (c.max - c.min) * 0.06
	if c.min < 0 {
		c.min -= (c.max - c.min) * 0.06
	}
}

func (c *chart) px(t float64) float64 {
	start := float64(c.seen.start.UnixMilli()) / 1000
	return c.plot.x + (t-start)/c.seen.end.Sub(c.seen.start).Seconds()*c.plot.w
}

func (c *chart) py(v float64) float64 {
	return c.plot.y + c.plot.h - (v-c.min)/(c.max-c.min)*c.plot.h
}

// bands shade the times of the scenes.
func (c *chart) bands() {
	for _, b := range c.seen.bands {
		from, to := c.px(float64(b.from.UnixMilli())/1000), c.px(float64(b.to.UnixMilli())/1000)
		c.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.10"/>`, from, c.plot.y, to-from, c.plot.h, colorBand)
		c.Text((from+to)/2, c.plot.y-4, 10, "middle", colorBand, "400", b.title)
	}
}

func (c *chart) axes() {
	unit := c.panel.FieldConfig.Defaults.Unit
	for _, v := range ticks(c.min, c.max, 5, unit) {
		y := c.py(v)
		c.Add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%[2]f" stroke="%s"/>`, c.plot.x, y, c.plot.x+c.plot.w, svg.ColorGrid)
		c.Text(c.plot.x-8, y+4, 11, "end", svg.ColorQuiet, "400", short(v, unit))
	}
	total := c.seen.end.Sub(c.seen.start)
	for t := time.Duration(0); t <= total; t += time.Minute {
		x := c.px(float64(c.seen.start.Add(t).UnixMilli()) / 1000)
		c.Add(`<line x1="%.1f" y1="%.1f" x2="%[1]f" y2="%.1f" stroke="%s"/>`, x, c.plot.y+c.plot.h, c.plot.y+c.plot.h+4, svg.ColorQuiet)
		c.Text(x, c.plot.y+c.plot.h+17, 11, "middle", svg.ColorQuiet, "400", fmt.Sprint(int(t.Minutes())))
	}
	c.Text(c.plot.x+c.plot.w, c.plot.y+c.plot.h+32, 11, "end", svg.ColorQuiet, "400", "minutes")
	c.Upright(c.x+16, c.plot.y+c.plot.h/2, 11, svg.ColorQuiet, c.axis)
}

// trace is a polyline through the samples, with gaps where there are none.
func (c *chart) trace(samples []environment.Sample) string {
	var d strings.Builder
	last := math.Inf(-1)
	for _, s := range samples {
		if math.IsNaN(s.Value) {
			continue
		}
		command := "L"
		if s.Time-last > 1.5*step.Seconds() {
			command = "M"
		}
		fmt.Fprintf(&d, "%s%.1f %.1f", command, c.px(s.Time), c.py(s.Value))
		last = s.Time
	}
	return d.String()
}

func (c *chart) path(l line, d string) {
	dash := ""
	if l.dashed {
		dash = ` stroke-dasharray="6 4"`
	}
	c.Add(`<path d="%s" fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round"%s/>`, d, l.color, dash)
}

// bars stack the increases between two points of time.
func (c *chart) bars() {
	base := map[float64]float64{}
	w := c.plot.w * rateInterval.Seconds() / c.seen.end.Sub(c.seen.start).Seconds()
	for _, l := range c.lines {
		for _, s := range l.samples {
			if math.IsNaN(s.Value) {
				continue
			}
			from, to := c.py(base[s.Time]), c.py(base[s.Time]+s.Value)
			x := max(c.px(s.Time)-w, c.plot.x)
			c.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x+0.5, to, w-1, from-to, l.color)
			base[s.Time] += s.Value
		}
	}
}

// areas stack lines on each other.
func (c *chart) areas() {
	base := map[float64]float64{}
	start := float64(c.seen.start.UnixMilli()) / 1000
	for _, l := range c.lines {
		values := map[float64]float64{}
		for _, s := range l.samples {
			values[s.Time] = s.Value
		}
		var upper, lower []string
		for i := 0; start+float64(i)*step.Seconds() <= float64(c.seen.end.UnixMilli())/1000; i++ {
			// Prometheus answers in milliseconds.
			t := math.Round((start+float64(i)*step.Seconds())*1000) / 1000
			lower = append([]string{fmt.Sprintf("%.1f %.1f", c.px(t), c.py(base[t]))}, lower...)
			base[t] += values[t]
			upper = append(upper, fmt.Sprintf("%.1f %.1f", c.px(t), c.py(base[t])))
		}
		c.Add(`<path d="M%sL%sZ" fill="%s" fill-opacity="0.75"/>`, strings.Join(upper, "L"), strings.Join(lower, "L"), l.color)
	}
}

// legend names the lines, those with the largest values first, as far as they fit into two rows.
func (c *chart) legend() {
	slices.SortStableFunc(c.lines, func(a, b line) int { return cmp.Compare(b.sum(), a.sum()) })
	x, y := c.x+14, c.y+c.h-26
	for _, l := range c.lines {
		w := 16 + letter*float64(len(l.name)) + 16
		if x+w > c.x+c.w {
			x, y = c.x+14, y+16
		}
		if y > c.y+c.h {
			return
		}
		c.Add(`<rect x="%.1f" y="%.1f" width="11" height="4" fill="%s"/>`, x, y-6, l.color)
		c.Text(x+16, y, 11, "start", svg.ColorText, "400", l.name)
		x += w
	}
}

func (l line) sum() (sum float64) {
	for _, s := range l.samples {
		if !math.IsNaN(s.Value) {
			sum += s.Value
		}
	}
	return sum
}

// ticks are the marks between two values of a unit.
func ticks(low, high float64, about int, unit string) []float64 {
	if unit == "s" && (high-low)/float64(about) > 10 {
		return svg.Ticks(low, high, about, 15, 30, 60, 120, 300, 600, 1800, 3600)
	}
	return svg.Ticks(low, high, about)
}

// short formats a value in its unit, briefly, for an axis.
func short(v float64, unit string) string {
	number := func(v float64) string { return fmt.Sprintf("%.3g", v+0) }
	switch {
	case v == 0:
		return "0"
	case unit == "s" && math.Abs(v) >= 120:
		return number(math.Round(v/6)/10) + " min"
	case unit == "s" && math.Abs(v) < 1:
		return number(v*1000) + " ms"
	case unit == "s":
		return number(math.Round(v*10)/10) + " s"
	case unit == "reqps" || unit == "ops":
		return number(v) + "/s"
	}
	return number(v)
}
