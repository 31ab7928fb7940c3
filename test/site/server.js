// A static server on the loopback address, which serves a folder below a base path as GitHub Pages does.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'

const types = {
  '.css': 'text/css', '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.json': 'application/json',
  '.svg': 'image/svg+xml', '.xml': 'application/xml',
}

// serve returns a server that listens on a free port.
export async function serve(folder, base) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURI(new URL(request.url, 'http://localhost').pathname))
    const file = path.slice(base.length) + (path.endsWith('/') ? 'index.html' : '')
    try {
      if (!path.startsWith(base)) throw new Error('outside of the site')
      const content = await readFile(join(folder, file))
      response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' }).end(content)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}
