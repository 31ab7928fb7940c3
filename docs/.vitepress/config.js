// The documentation site. Its pages are the Markdown in docs/, which must also read well on GitHub.
//
// DOCS_VERSION   the released version of the pages, such as v1.2.3; empty: the latest state of the main branch
// DOCS_VERSIONS  all published versions, newest first, separated by spaces
// DOCS_URL       the address of the latest pages; a version is published in a folder below it
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'

const docs = join(dirname(fileURLToPath(import.meta.url)), '..')
const repository = 'https://github.com/stscredential/sts-credential-operator'
const version = process.env.DOCS_VERSION || ''
const versions = (process.env.DOCS_VERSIONS || version).split(/\s+/).filter(Boolean)
const root = process.env.DOCS_URL || 'https://stscredential.github.io/sts-credential-operator/'
const base = new URL(root).pathname + (version && version + '/')

// Paths of pages from docs/, without extension.
const runbooks = pagesIn('runbooks')
const english = {
  Start: ['first-five-minutes', 'demo', 'install', 'identity'],
  Use: ['usage', 'workloads', 'agent', 'rollouts', 'migration', 'gitops', 'emulator', 'kubectl-plugin', 'troubleshooting'],
  Operate: ['grants', 'private-networks', 'operations', 'monitoring', 'security', 'reliability'],
  Runbooks: runbooks,
  Reference: ['api-reference', 'configuration', 'kubectl-plugin-reference', 'budget', 'performance', 'comparison', 'design', ...pagesIn('design-notes')],
}
const chinese = {
  入门: ['first-five-minutes', 'install', 'identity'],
  使用: ['workloads', 'agent', 'migration', 'troubleshooting'],
}

function pagesIn(folder) {
  return readdirSync(join(docs, folder))
    .filter((file) => file.endsWith('.md') && file !== 'index.md')
    .map((file) => posix.join(folder, file.slice(0, -'.md'.length)))
    .sort()
}

function titleOf(page) {
  return /^# (.+)$/m.exec(readFileSync(join(docs, page + '.md'), 'utf8'))[1].replaceAll('`', '')
}

// The sidebar of a language. Pages that no group names are listed in the last group.
function sidebar(groups, folder) {
  const named = new Set(Object.values(groups).flat())
  const others = pagesIn(folder).map((page) => posix.relative(folder, page)).filter((page) => !named.has(page))
  return Object.entries(groups).map(([text, pages], i, all) => ({
    text,
    collapsed: pages === runbooks ? true : undefined,
    items: (i === all.length - 1 ? [...pages, ...others] : pages)
      .map((page) => posix.join(folder, page))
      .filter((page) => existsSync(join(docs, page + '.md')))
      .map((page) => ({ text: titleOf(page), link: '/' + page })),
  }))
}

function versionMenu(latest) {
  const items = [{ text: latest, link: root, target: '_self' }]
  items.push(...versions.map((v) => ({ text: v, link: root + v + '/', target: '_self' })))
  return { text: version || latest, items }
}

// A heading's anchor as GitHub names it.
function slugify(heading) {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
}

// Links to what is not a page of the site, such as ../config/samples, lead to the repository.
function linkToRepository(md) {
  md.core.ruler.push('link-to-repository', ({ tokens, env }) => {
    for (const link of tokens.flatMap((token) => token.children ?? []).filter((token) => token.type === 'link_open')) {
      const href = link.attrGet('href')
      if (/^([a-z]+:|#|\/)/i.test(href)) continue
      const path = decodeURI(href.replace(/#.*/, ''))
      const target = posix.join('docs', dirname(env.relativePath), path)
      if (target.startsWith('docs/') && target.endsWith('.md')) continue
      const kind = statSync(join(docs, '..', target)).isDirectory() ? 'tree' : 'blob'
      link.attrSet('href', `${repository}/${kind}/${version || 'main'}/${target}${href.slice(href.replace(/#.*/, '').length)}`)
    }
  })
}

// Text as it is written: <account ID> is a placeholder, :ram: is part of a role's name, and {{ }} is part of a Go template.
function plainText(md) {
  const escape = (token) => md.utils.escapeHtml(token.content).replaceAll('{', '&#123;')
  md.renderer.rules.text = (tokens, i) => escape(tokens[i])
  md.renderer.rules.code_inline = (tokens, i) => `<code>${escape(tokens[i])}</code>`
  md.core.ruler.disable('emoji')
  md.core.ruler.push('plain-text', ({ tokens }) => {
    for (const block of tokens.filter((token) => token.type === 'code_block')) Object.assign(block, { type: 'fence', info: 'text' })
    for (const token of tokens.flatMap((token) => token.children ?? [])) {
      if (token.type === 'html_inline' && /^<(?!!--|br\b)/.test(token.content)) token.type = 'text'
    }
  })
}

// Words of a text for the search. Chinese has no spaces: each two characters that follow each other are a word.
// The function is copied into the pages, so it must not refer to anything outside of it.
function tokenize(text) {
  return text.split(/[\n\r\p{Z}\p{P}]+/u)
    .flatMap((word) => word.match(/\p{Script=Han}+|[^\p{Script=Han}]+/gu) || [])
    .flatMap((run) => {
      if (!/^\p{Script=Han}{2}/u.test(run)) return [run]
      const characters = Array.from(run)
      return characters.slice(1).map((character, i) => characters[i] + character)
    })
}

export default defineConfig({
  title: 'sts-credential-operator',
  description: 'Short-lived Alibaba Cloud credentials in Kubernetes Secrets',
  base,
  outDir: join(docs, '../dist/site'),
  cacheDir: join(docs, '../bin/vitepress'),
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  sitemap: { hostname: new URL(base, root).href },
  markdown: {
    anchor: { slugify },
    config: (md) => md.use(plainText).use(linkToRepository),
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
  },
  locales: {
    root: {
      label: 'English',
      lang: 'en',
      themeConfig: {
        nav: [
          { text: 'Install', link: '/install' },
          { text: 'Troubleshooting', link: '/troubleshooting' },
          { text: 'API', link: '/api-reference' },
          { text: 'GitHub', link: repository },
          versionMenu('latest'),
        ],
        sidebar: sidebar(english, ''),
      },
    },
    'zh-CN': {
      label: '简体中文',
      lang: 'zh-CN',
      description: '在 Kubernetes Secret 中维护阿里云临时访问凭证',
      themeConfig: {
        nav: [
          { text: '安装', link: '/zh-CN/install' },
          { text: '故障排查', link: '/zh-CN/troubleshooting' },
          { text: 'API（英文）', link: '/api-reference' },
          { text: 'GitHub', link: repository },
          versionMenu('最新版本'),
        ],
        sidebar: sidebar(chinese, 'zh-CN'),
        outline: { level: [2, 3], label: '本页内容' },
        docFooter: { prev: '上一页', next: '下一页' },
        darkModeSwitchLabel: '外观',
        darkModeSwitchTitle: '切换到深色模式',
        lightModeSwitchTitle: '切换到浅色模式',
        sidebarMenuLabel: '目录',
        returnToTopLabel: '返回顶部',
        langMenuLabel: '切换语言',
        skipToContentLabel: '跳到正文',
        notFound: { title: '页面不存在', quote: '请检查地址，或使用搜索。', linkText: '返回首页', linkLabel: '返回首页' },
      },
    },
  },
  themeConfig: {
    i18nRouting: false, // not every page has a translation
    outline: [2, 3],
    search: {
      provider: 'local',
      options: {
        miniSearch: { options: { tokenize }, searchOptions: { combineWith: 'AND' } },
        locales: {
          'zh-CN': {
            translations: {
              button: { buttonText: '搜索', buttonAriaLabel: '搜索' },
              modal: {
                displayDetails: '显示详细列表',
                resetButtonTitle: '清除',
                backButtonTitle: '关闭',
                noResultsText: '没有结果：',
                footer: { selectText: '选择', navigateText: '切换', closeText: '关闭' },
              },
            },
          },
        },
      },
    },
    notFound: { title: 'Page not found', quote: 'Check the address, or use the search.', linkText: 'Front page', linkLabel: 'Front page' },
  },
})
