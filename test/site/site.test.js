// Opens every page of dist/site in a headless Chromium.
//
// CHROMIUM      the browser's program; by default the first that is found of those below
// SCREENSHOTS   a folder to write pictures to; by default none are taken
import assert from 'node:assert/strict'
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import puppeteer from 'puppeteer-core'
import { colorsOf, cutOff, unreadable } from './page.js'
import { serve } from './server.js'

const folder = fileURLToPath(new URL('../../dist/site', import.meta.url))
const sitemap = [...readFileSync(join(folder, 'sitemap.xml'), 'utf8').matchAll(/<loc>([^<]*)<\/loc>/g)].map((m) => new URL(m[1]).pathname)
const base = sitemap.reduce((a, b) => (a.length < b.length ? a : b))
const phone = { width: 390, height: 844 }
const desktop = { width: 1280, height: 900 }

let server, browser, page, origin
const problems = []

before(async () => {
  server = await serve(folder, base)
  origin = `http://127.0.0.1:${server.address().port}`
  browser = await puppeteer.launch({
    executablePath: program(),
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--disable-background-networking'],
    protocolTimeout: 120_000,
  })
  page = await browser.newPage()
  page.setDefaultTimeout(60_000)
  page.on('console', (message) => message.type() === 'error' && problems.push(`${page.url()}: console: ${message.text()}`))
  page.on('pageerror', (error) => problems.push(`${page.url()}: ${error}`))
  page.on('request', (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(origin + base)) problems.push(`${page.url()}: request to ${request.url()}`)
  })
  page.on('requestfailed', (request) => {
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') problems.push(`${page.url()}: ${request.url()}: ${request.failure()?.errorText}`)
  })
  page.on('response', (response) => response.status() >= 400 && problems.push(`${page.url()}: ${response.url()}: status ${response.status()}`))
})

after(async () => {
  await browser?.close()
  server?.closeAllConnections?.()
  server?.close()
})

function program() {
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  const found = process.env.CHROMIUM ?? process.env.PATH.split(delimiter).flatMap((dir) => names.map((name) => join(dir, name))).find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
  assert.ok(found, 'no Chromium found. Install the package chromium, or set CHROMIUM.')
  return found
}

// open goes to a page and waits until Vue has taken it over.
async function open(path) {
  await page.goto(origin + path, { waitUntil: 'load' })
  await page.waitForFunction(() => document.querySelector('#app')?.__vue_app__ !== undefined)
}

async function picture(name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, name + '.png') })
}

async function setDark(dark) {
  await page.evaluate((dark) => {
    localStorage.setItem('vitepress-theme-appearance', dark ? 'dark' : 'light')
    document.documentElement.classList.toggle('dark', dark)
  }, dark)
}

test('every page renders, fits a phone and can be read in light and in dark', async () => {
  assert.ok(sitemap.length > 30, `only ${sitemap.length} pages in the sitemap`)
  assert.ok(sitemap.includes(base + 'zh-CN/install.html'), 'no Chinese pages')
  const anchors = new Map()
  const links = []
  await page.setViewport(phone)
  for (const path of sitemap) {
    await open(path)
    const { title, heading, escaped, ids, hrefs } = await page.evaluate(() => ({
      title: document.title,
      heading: document.querySelector('h1')?.innerText.trim(),
      escaped: [...document.querySelectorAll('h1, h2, h3, h4')].map((element) => element.textContent).find((text) => /&#?\w+;/.test(text)),
      ids: [...document.querySelectorAll('[id]')].map((element) => element.id),
      hrefs: [...document.querySelectorAll('a[href]')].map((a) => a.href),
    }))
    if (!title || !heading) problems.push(`${path}: title ${title}, heading ${heading}`)
    if (escaped) problems.push(`${path}: heading ${escaped}`)
    anchors.set(path, new Set(ids))
    links.push(...hrefs.map((href) => [path, new URL(href)]))
    problems.push(...(await page.evaluate(cutOff)).map((what) => `${path}: at ${phone.width} px: ${what}`))
    for (const dark of [false, true]) {
      await setDark(dark)
      problems.push(...unreadable(await page.evaluate(colorsOf)).map((what) => `${path}: ${dark ? 'dark' : 'light'}: ${what}`))
    }
    await setDark(false)
  }
  for (const [path, url] of links.filter(([, url]) => url.origin === origin)) {
    const target = url.pathname.endsWith('/') || url.pathname.endsWith('.html') ? url.pathname : url.pathname + '.html'
    if (!anchors.has(target)) problems.push(`${path}: ${url.pathname} leads nowhere`)
    else if (url.hash && !anchors.get(target).has(decodeURIComponent(url.hash.slice(1)))) problems.push(`${path}: ${url.pathname} has no ${decodeURIComponent(url.hash)}`)
  }
  assert.deepEqual([...new Set(problems.splice(0))], [])
})

for (const [start, word] of [['', 'MaxSessionDuration'], ['zh-CN/', '会话策略']]) {
  test(`search finds ${word}`, async () => {
    await page.setViewport(desktop)
    await open(base + start)
    await page.click('#local-search button')
    await page.waitForSelector('#localsearch-input')
    await page.focus('#localsearch-input')
    await page.keyboard.sendCharacter(word) // at once, so that there are no results of a part of it
    await page.waitForSelector('#localsearch-list a.result')
    await picture('search-' + word)
    const results = await page.$$eval('#localsearch-list a.result', (all) => all.map((a) => a.href))
    for (const result of results.slice(0, 3)) {
      await open(result.slice(origin.length))
      const text = await page.$eval('main', (main) => main.innerText)
      assert.ok(text.toLowerCase().includes(word.toLowerCase()), `${result} does not have ${word}`)
    }
    assert.ok(results.every((result) => new URL(result).pathname.startsWith(base + start)), results.join('\n'))
    assert.deepEqual(problems.splice(0), [])
  })
}

test('dark mode and the menus work', async () => {
  await page.setViewport(desktop)
  await open(base)
  await picture('front')
  await page.click('.VPNavBarAppearance button')
  await page.waitForFunction(() => document.documentElement.classList.contains('dark'))
  await picture('front-dark')
  await open(base + 'security.html')
  assert.ok(await page.evaluate(() => document.documentElement.classList.contains('dark')), 'dark mode is not kept')
  await picture('page-dark')
  const menus = await page.$$eval('.VPNavBar .VPMenu a', (all) => all.map((a) => [a.innerText || a.textContent, a.href]))
  assert.ok(menus.some(([text]) => text.includes('简体中文')), 'no menu of languages')
  assert.ok(menus.some(([text]) => text.includes('latest')), 'no menu of versions')
  await setDark(false)
  await open(base + 'zh-CN/identity.html')
  await picture('chinese')
  await page.setViewport(phone)
  for (const path of ['', 'workloads.html', 'zh-CN/workloads.html']) {
    await open(base + path)
    await picture('phone-' + (path.replaceAll(/[/.]/g, '-') || 'front'))
  }
  await page.click('.VPNavBarHamburger')
  await page.waitForSelector('.VPNavScreen')
  await picture('phone-menu')
  assert.deepEqual(problems.splice(0), [])
})
