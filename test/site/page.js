// What the tests measure in a page. cutOff and colorsOf run in the browser.

// cutOff returns what is wider than the window and cannot be scrolled within itself.
export function cutOff() {
  const found = []
  const width = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} px wide`)
  const scrolls = (element) => element && (/auto|scroll/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement))
  for (const element of document.querySelectorAll('main *')) {
    const box = element.getBoundingClientRect()
    if (box.width > 0 && box.right > width + 1 && !scrolls(element)) {
      found.push(`${element.tagName} ends at ${Math.round(box.right)} px: ${element.textContent.trim().slice(0, 60)}`)
    }
  }
  return found
}

// colorsOf returns the colors of the texts in the content, with the backgrounds behind them from the inside out.
export function colorsOf() {
  // Colors change slowly by style, which would be measured half-way.
  const style = document.createElement('style')
  style.textContent = '* { transition: none !important }'
  document.head.append(style)
  const all = new Map()
  const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim()
    const element = texts.currentNode.parentElement
    const shown = getComputedStyle(element)
    if (!text || !element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) || element.closest('svg')) continue
    const backgrounds = []
    for (let e = element; e; e = e.parentElement) backgrounds.push(getComputedStyle(e).backgroundColor)
    all.set(shown.color + backgrounds, { text: text.slice(0, 40), color: shown.color, backgrounds })
  }
  style.remove()
  return [...all.values()]
}

// unreadable returns the texts with a contrast of less than 4.5, as WCAG 2 computes it.
export function unreadable(texts) {
  return texts.flatMap(({ text, color, backgrounds }) => {
    const background = backgrounds.map(parse).reduceRight((below, layer) => blend(layer, below), [255, 255, 255, 1])
    const [low, high] = [luminance(blend(parse(color), background)), luminance(background)].sort((a, b) => a - b)
    const contrast = (high + 0.05) / (low + 0.05)
    return contrast < 4.5 ? [`contrast ${contrast.toFixed(1)}, ${color} on ${background}: ${text}`] : []
  })
}

function parse(color) {
  const m = /^rgba?\(([^)]*)\)$/.exec(color)
  if (!m) throw new Error(`color ${color}`)
  const [r, g, b, a = 1] = m[1].split(/[ ,/]+/).map(Number)
  return [r, g, b, a]
}

function blend([r, g, b, a], below) {
  return [...[r, g, b].map((value, i) => value * a + below[i] * (1 - a)), 1]
}

function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map((value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  return 0.2126 * x + 0.7152 * y + 0.0722 * z
}
