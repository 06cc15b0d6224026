// One call a run: node calls.cjs NAME. Prints what came back, or the error, as one line of JSON.
'use strict';
const http = require('http');
const https = require('https');

const host = 'api.clientenv.test';

function call(module, options, body) {
  return new Promise((resolve, reject) => {
    const req = module.request(Object.assign({ host, path: '/n', method: body ? 'POST' : 'GET' }, options), async (res) => {
      let text = '';
      let length = 0;
      try {
        for await (const chunk of res) {
          length += chunk.length;
          if (length < 10000) text += chunk;
          if (Math.random() < 0.02) await new Promise((next) => setTimeout(next, 1));
        }
        resolve(text.startsWith('{') ? JSON.parse(text) : { length });
      } catch (err) {
        reject(err);
      }
    });
    if (options.give === 'timeout') req.on('timeout', () => req.destroy(new Error('gave up as asked')));
    if (options.give === 'abort') setTimeout(() => req.destroy(new Error('gave up as asked')), 100);
    req.on('error', reject);
    req.end(body);
  });
}

// As agentkeepalive does it: the socket is wanted at once, whatever callback there is.
class Eager extends https.Agent {
  createConnection(options, callback) {
    const socket = super.createConnection(options, callback);
    socket.setNoDelay(true);
    return socket;
  }
}

async function fate(noProxy, name) {
  process.env.NO_PROXY = process.env.no_proxy = noProxy;
  const agent = new https.Agent();
  const err = await call(https, { host: name, port: 1, agent }).then(() => null, (e) => e);
  return err && (err.syscall === 'getaddrinfo' || err.syscall === 'connect') ? 'direct' : 'proxy';
}

const calls = {
  'fetch-https': async () => (await fetch(`https://${host}/n`)).json(),
  'fetch-http': async () => (await fetch(`http://${host}/n`)).json(),
  'fetch-denied': async () => (await fetch(`https://denied.${host}/n`)).json(),
  'https-default': () => call(https, {}),
  'https-own': () => call(https, { agent: new https.Agent({ keepAlive: true }) }),
  'https-none': () => call(https, { agent: false }),
  'https-eager': () => call(https, { agent: new Eager({ keepAlive: true }) }),
  'https-upload': () => call(https, { agent: new https.Agent() }, Buffer.alloc(5 << 20)),
  // The server closes behind the answer, while part of it waits to be read.
  'https-large': () => call(https, { agent: new https.Agent(), path: '/large' }),
  'https-reuse': async () => {
    const agent = new https.Agent({ keepAlive: true });
    for (let i = 0; i < 3; i++) {
      await call(https, { agent });
      while (Object.keys(agent.freeSockets).length === 0) await new Promise(setImmediate);
    }
    return {};
  },
  'https-socket': () => new Promise((resolve, reject) => {
    const socket = new https.Agent().createConnection({ host, port: 443 });
    let text = '';
    socket.on('error', reject).on('data', (chunk) => (text += chunk));
    socket.on('end', () => resolve(JSON.parse(text.split('\r\n\r\n')[1])));
    socket.write(`GET /n HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  }),
  'https-injection': () => new Promise((resolve) => {
    const socket = new https.Agent().createConnection({ host: `${host}:443 HTTP/1.1\r\nX-Injected: 1\r\n\r\n`, port: 443 });
    socket.on('error', () => resolve({}));
  }),
  // axios sends what it has to proxy to the proxy by itself.
  'http-to-proxy': () => {
    process.env.NO_PROXY = process.env.no_proxy = '';
    const proxy = new URL(process.env.HTTP_PROXY);
    return call(http, { host: proxy.hostname, port: proxy.port, agent: new http.Agent() });
  },
  // As undici 8 in the application calls it, by version 2 of its handlers.
  'undici-8': () => new Promise((resolve, reject) => {
    void globalThis.Headers;
    let text = '';
    const seen = {};
    globalThis[Symbol.for('undici.globalDispatcher.2')].dispatch({ origin: `https://${host}`, path: '/n', method: 'GET' }, {
      onRequestStart(controller) { seen.controller = controller; },
      onResponseStart(controller, status, headers) {
        seen.type = headers['content-type'];
        controller.pause();
        setTimeout(() => controller.resume(), 10);
      },
      onResponseData(controller, chunk) { text += chunk; },
      onResponseEnd(controller) {
        const same = controller === seen.controller && !controller.aborted && seen.type === 'application/json';
        resolve(same ? JSON.parse(text) : { error: 'not by the rules of version 2' });
      },
      onResponseError(controller, err) { reject(err); },
    });
  }),
  'http-default': () => call(http, {}),
  'http-own': () => call(http, { agent: new http.Agent({ keepAlive: true }) }),
  'worker': () => new Promise((resolve, reject) => {
    const { Worker } = require('worker_threads');
    const worker = new Worker(__filename, { argv: ['https-own'], stdout: true });
    worker.stdout.on('data', (text) => resolve(JSON.parse(text)));
    worker.on('error', reject);
  }),
  'denied': () => call(https, { host: `denied.${host}`, agent: new https.Agent() }),
  'closed': () => call(https, { host: `closed.${host}`, agent: new https.Agent() }),
  'timeout': () => call(https, { host: `silent.${host}`, timeout: 100, give: 'timeout', agent: new https.Agent() }),
  'abort': () => call(https, { host: `silent.${host}`, give: 'abort', agent: new https.Agent() }),
  'queue': async () => {
    const agent = new https.Agent({ maxSockets: 1 });
    const all = await Promise.allSettled([1, 2, 3].map(() => call(https, { host: `denied.${host}`, agent })));
    return { rejected: all.filter((one) => one.status === 'rejected').length };
  },
  'no-proxy': async () => {
    const cases = JSON.parse(process.argv[3]);
    const got = [];
    for (const { noProxy, host: name } of cases) got.push(await fate(noProxy, name));
    return { got };
  },
};

calls[process.argv[2]]().then(
  (value) => console.log(JSON.stringify(value)),
  (err) => {
    const { message, code } = err.cause || err;
    console.log(JSON.stringify({ error: message, code }));
  },
);
