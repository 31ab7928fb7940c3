// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package svg is what the project's charts have in common: a canvas, its colours, and the marks on axes.
package svg

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Colours, and the letters.
const (
	ColorText  = "#24292f"
	ColorQuiet = "#6e7781"
	ColorGrid  = "#d8dee4"
	ColorPanel = "#ffffff"
	ColorPage  = "#f6f8fa"

	fontFamily = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, 'DejaVu Sans', sans-serif"
)

// Palette is for lines that have no colour of their own.
var Palette = []string{"#0969da", "#bf3989", "#bc4c00", "#8250df", "#1b7c83", "#9a6700", "#cf222e", "#57606a", "#1a7f37"}

// Canvas collects SVG, in pixels from the upper left corner.
type Canvas struct{ content strings.Builder }

// New is a canvas of that size, in the page's colour.
func New(width, height float64) *Canvas {
	c := &Canvas{}
	c.Add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="%s">`, width, height, fontFamily)
	c.Add(`<rect width="100%%" height="100%%" fill="%s"/>`, ColorPage)
	return c
}

// Add writes an element.
func (c *Canvas) Add(format string, args ...any) {
	_, _ = fmt.Fprintf(&c.content, format+"\n", args...)
}

// Text writes at a point; anchor is start, middle or end.
func (c *Canvas) Text(x, y, size float64, anchor, color, weight, content string) {
	c.Add(`<text x="%.1f" y="%.1f" font-size="%g" text-anchor="%s" fill="%s" font-weight="%s">%s</text>`,
		x, y, size, anchor, color, weight, html.EscapeString(content))
}

// Upright writes from below to above, its middle at the point.
func (c *Canvas) Upright(x, y, size float64, color, content string) {
	c.Add(`<text transform="translate(%.1f %.1f) rotate(-90)" font-size="%g" text-anchor="middle" fill="%s">%s</text>`,
		x, y, size, color, html.EscapeString(content))
}

// Panel draws a frame with a title.
func (c *Canvas) Panel(x, y, w, h float64, title string) {
	c.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="6" fill="%s" stroke="%s"/>`, x, y, w, h, ColorPanel, ColorGrid)
	c.Text(x+14, y+22, 14, "start", ColorText, "600", title)
}

// String is the finished picture.
func (c *Canvas) String() string { return c.content.String() + "</svg>\n" }

// Ticks are about so many marks between two values, apart by the first of widths that makes them few enough or, without
// widths, by a round number.
func Ticks(low, high float64, about int, widths ...float64) (all []float64) {
	raw, unit := (high-low)/float64(about), 1.0
	if len(widths) == 0 {
		unit, widths = math.Pow(10, math.Floor(math.Log10(raw))), []float64{1, 2, 2.5, 5, 10}
	}
	width := unit * widths[len(widths)-1]
	for _, w := range widths {
		if w*unit >= raw {
			width = w * unit
			break
		}
	}
	for v := math.Ceil(low/width) * width; v <= high; v += width {
		all = append(all, v)
	}
	return all
}
