// Sends what a Node program calls through the proxy that HTTPS_PROXY and HTTP_PROXY name, except to the hosts
// that NO_PROXY lists. Loaded by NODE_OPTIONS="--require .../hook.cjs" into Node 16 and later.
//
// Node obeys these variables only where it knows NODE_USE_ENV_PROXY (22.21, 24 and later), and even there an
// agent that the application makes for itself (stripe-node, superagent) goes direct. Therefore:
//
//   https  an https.Agent without a proxy of its own opens a tunnel with CONNECT
//   http   an http.Agent without a proxy of its own sends the absolute form to the proxy
//   fetch  undici's global dispatcher is replaced, except in late 24 and in 26, where NODE_USE_ENV_PROXY does all
//
// Not covered: http2.connect; sockets that bypass agents (tls.connect; the ws package without an agent); an undici
// Agent, Pool or Client that the application makes; http:// through an agent with a createConnection of its own,
// with headers given as an array, with an Expect header (Node writes these heads before an agent sees them), or
// through a proxy whose own URL is https.
//
// The hook must never be why an application stops: what it cannot install it names in one line on stderr.
// The syntax is kept to what old versions of Node can at least parse.
'use strict';

(function main() {
  const LOADED = Symbol.for('postern.hook.node');
  const version = process.versions;
  const [major, minor] = version.node.split('.').map(Number);
  if (globalThis[LOADED] || version.deno || version.bun || major < 16) return;
  Object.defineProperty(globalThis, LOADED, { value: true });

  const DISPATCHER = Symbol.for('undici.globalDispatcher.1');
  const DISPATCHER_2 = Symbol.for('undici.globalDispatcher.2');
  const TUNNEL_TIMEOUT = 60 * 1000; // ms until CONNECT must be answered
  const MAX_ANSWER = 64 * 1024; // bytes of an answer to CONNECT
  let http, https, net, tls, Duplex, domainToASCII;

  for (const [what, step] of [
    ['load', load],
    ['proxy https', hookHTTPS],
    ['proxy http', hookHTTP],
    ['proxy fetch', hookFetch],
  ]) {
    try {
      step();
    } catch (err) {
      complain(what, err);
      if (step === load) return;
    }
  }

  function load() {
    http = require('http');
    https = require('https');
    net = require('net');
    tls = require('tls');
    Duplex = require('stream').Duplex;
    domainToASCII = require('url').domainToASCII;
  }

  // Neither message nor stack is shown: they may quote the proxy's URL, which holds a token.
  function complain(what, err) {
    const why = (err && (err.code || err.name)) || 'unknown error';
    process.stderr.write(`postern: node hook: cannot ${what}: ${why}\n`);
  }

  // --- which proxy, if any ---

  // The proxy for a target, or null. The environment is read each time: an application may change it.
  function proxyFor(scheme, host, port) {
    const env = process.env;
    const proxy = parseProxy(env[`${scheme}_proxy`] || env[`${scheme.toUpperCase()}_PROXY`] || '');
    if (!proxy || host === '') return null;
    if (host === proxy.host && port === proxy.port) return null; // a call to the proxy itself
    const name = host.replace(/\.$/, '');
    const entries = (env.no_proxy || env.NO_PROXY || '').toLowerCase().split(/[\s,]+/);
    return entries.some((entry) => entry && bypasses(entry, name, port)) ? null : proxy;
  }

  // A host as it may stand in a request line: lower case, no brackets, ASCII; empty if it cannot.
  function plainHost(host) {
    const name = unbracket(String(host || 'localhost')).toLowerCase();
    return /^[\x21-\x7e]+$/.test(name) ? name : domainToASCII(name);
  }

  // Null for an empty text and for what is not an http or https URL (SOCKS is left to others).
  function parseProxy(text) {
    if (!/^https?:\/\//i.test(text)) return null;
    if (parseProxy.text === text) return parseProxy.proxy;
    let proxy = null;
    try {
      const url = new URL(text);
      const secure = url.protocol === 'https:';
      const userinfo = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
      proxy = {
        secure,
        host: unbracket(url.hostname),
        port: Number(url.port) || (secure ? 443 : 80),
        authorization: userinfo === ':' ? '' : `Basic ${Buffer.from(userinfo).toString('base64')}`,
      };
    } catch (err) {
      complain('read the proxy URL', err);
    }
    parseProxy.text = text;
    parseProxy.proxy = proxy;
    return proxy;
  }

  function unbracket(host) {
    return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  }

  function authority(host, port) {
    return `${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
  }

  // One entry of NO_PROXY: "*", a name (which stands for its subdomains too), ".name", "*.name", an address or a
  // CIDR range; a name or an address may have a port.
  function bypasses(entry, host, port) {
    if (entry === '*') return true;
    const range = /^([0-9a-f.:]+)\/(\d+)$/.exec(entry);
    if (range) return inRange(range[1], Number(range[2]), host);
    const withPort = /^(\[[^\]]+\]|[^:]+):(\d+)$/.exec(entry);
    if (withPort && Number(withPort[2]) !== port) return false;
    const name = unbracket(withPort ? withPort[1] : entry).replace(/^\*?\./, '');
    return name !== '' && (host === name || (!net.isIP(host) && host.endsWith(`.${name}`)));
  }

  function inRange(network, bits, host) {
    const family = net.isIP(host);
    if (family === 0 || family !== net.isIP(network) || bits > (family === 4 ? 32 : 128)) return false;
    const list = new net.BlockList();
    list.addSubnet(network, bits, `ipv${family}`);
    return list.check(host, `ipv${family}`);
  }

  // --- CONNECT ---

  function dial(proxy) {
    const to = { host: proxy.host, port: proxy.port, allowHalfOpen: true }; // the end of one way is not the end of both
    if (!proxy.secure) return net.connect(to);
    return tls.connect(Object.assign(to, { servername: net.isIP(to.host) ? '' : to.host, ALPNProtocols: ['http/1.1'] }));
  }

  // Calls done(err) or done() once; from then on the returned socket, paused, carries the target's bytes.
  // Destroying it earlier gives up.
  function openTunnel(proxy, host, port, done) {
    const target = authority(host, port);
    const socket = dial(proxy);
    const listeners = { data: onData, error: onError, end: onEnd, close: onEnd, timeout: onTimeout };
    let answer = Buffer.alloc(0);

    function finish(problem, code) {
      for (const name of Object.keys(listeners)) socket.removeListener(name, listeners[name]);
      socket.setTimeout(0);
      if (!problem) return done();
      const err = new Error(`cannot reach ${target} through the proxy ${authority(proxy.host, proxy.port)}: ${problem}`);
      err.code = code || 'ECONNRESET';
      socket.on('error', () => {});
      socket.destroy();
      done(err);
    }
    function onError(err) { finish(err.code || err.message, err.code); }
    function onEnd() { finish('it closed the connection'); }
    function onTimeout() { finish('it did not answer CONNECT', 'ETIMEDOUT'); }
    function onData(chunk) {
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0 && answer.length < MAX_ANSWER) return;
      const status = /^HTTP\/1\.[01] ((\d)\d\d)/.exec(answer.toString('latin1', 0, Math.max(end, 0)));
      const rest = answer.subarray(end + 4);
      if (!status) return finish('it did not answer CONNECT in HTTP/1.1', 'ERR_PROXY_REFUSED');
      if (status[2] !== '2') return finish(`it answered ${status[1]}${detail(rest)}`, 'ERR_PROXY_REFUSED');
      socket.pause();
      if (rest.length > 0) socket.unshift(rest);
      finish();
    }

    for (const name of Object.keys(listeners)) socket.on(name, listeners[name]);
    socket.setTimeout(TUNNEL_TIMEOUT);
    socket.setNoDelay(true);
    const credentials = proxy.authorization ? `Proxy-Authorization: ${proxy.authorization}\r\n` : '';
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`);
    return socket;
  }

  // What a refusal says, when it came along as problem+json (RFC 9457).
  function detail(body) {
    try {
      const problem = JSON.parse(body.toString());
      return [problem.detail, problem.hint].filter(Boolean).map((text) => `: ${text}`).join('');
    } catch (err) {
      return '';
    }
  }

  // A tunnel as a stream that takes writes before it is open. Agents, those that derive from https.Agent above
  // all, want a socket at once: with a later callback maxSockets does not hold, a failure strands the requests
  // that queue behind it, and an abort has nothing to destroy.
  //
  // Once the other side has ended, what cannot be written to it any more (a TLS farewell) is no error: it would
  // take along what has come in and not been read yet.
  function tunnelStream(proxy, host, port) {
    let open = false;
    let ended = false;
    let waiting = null;
    const whenOpen = (action) => (open ? action() : (waiting = action));
    const stream = new Duplex({
      read() { if (open) socket.resume(); },
      write(chunk, encoding, callback) {
        whenOpen(() => socket.write(chunk, (err) => callback(ended ? null : err)));
      },
      final(callback) { whenOpen(() => socket.end(callback)); },
      destroy(err, callback) {
        socket.destroy();
        callback(err);
      },
    });
    const socket = openTunnel(proxy, host, port, (err) => {
      if (err) return stream.destroy(err);
      open = true;
      socket.on('data', (chunk) => stream.push(chunk) || socket.pause());
      socket.on('end', () => {
        ended = true;
        stream.push(null);
      });
      socket.on('error', (cause) => ended || stream.destroy(cause));
      socket.on('close', () => ended || stream.destroy());
      socket.resume();
      if (waiting) waiting();
    });
    return { stream, socket };
  }

  // --- https, http, fetch ---

  // True for the default agent under NODE_USE_ENV_PROXY, and for an agent the application gave a proxy that way.
  function hasOwnProxy(agent) {
    return Boolean(agent && agent.options && agent.options.proxyEnv);
  }

  function hookHTTPS() {
    const original = https.Agent.prototype.createConnection;
    // Called as (options, callback) by agents, as (port, host, options) by others.
    https.Agent.prototype.createConnection = function createConnection(...args) {
      const options = Object.assign({}, args.find((arg) => arg !== null && typeof arg === 'object'));
      if (typeof args[0] === 'number') options.port = args[0];
      if (typeof args[1] === 'string') options.host = args[1];
      const host = plainHost(options.host);
      const port = Number(options.port) || 443;
      const own = options.socket || options.socketPath || options.path || hasOwnProxy(this);
      const proxy = own ? null : proxyFor('https', host, port);
      if (!proxy) return original.apply(this, args);

      const tunnel = tunnelStream(proxy, host, port);
      options.socket = tunnel.stream;
      if (options.servername === undefined && !net.isIP(host)) options.servername = host;
      const secure = original.call(this, options);
      if (options.timeout) secure.setTimeout(options.timeout);
      for (const name of ['ref', 'unref', 'setNoDelay', 'setKeepAlive']) {
        secure[name] = function forward(...given) {
          tunnel.socket[name](...given);
          return this;
        };
      }
      return secure;
    };
  }

  function hookHTTP() {
    const agent = http.Agent.prototype;
    const original = agent.addRequest;
    agent.addRequest = function addRequest(req, options, ...legacy) {
      const plain = options && typeof options === 'object' && !options.socketPath &&
        (options.protocol || this.protocol) === 'http:' && req.method !== 'CONNECT' && /^\//.test(req.path) &&
        !req._header &&
        this.createConnection === agent.createConnection && this.createSocket === agent.createSocket &&
        !hasOwnProxy(this) && !this.options.host && !this.options.port;
      const host = plain ? plainHost(options.host) : '';
      const port = plain ? Number(options.port) || 80 : 0;
      const proxy = plain ? proxyFor('http', host, port) : null;
      if (!proxy || proxy.secure) return original.call(this, req, options, ...legacy);
      req.path = `http://${authority(host, port).replace(/:80$/, '')}${req.path}`;
      if (proxy.authorization) req.setHeader('Proxy-Authorization', proxy.authorization);
      return original.call(this, req, Object.assign({}, options, { host: proxy.host, port: proxy.port }));
    };
  }

  function hookFetch() {
    if (major >= 26 || typeof fetch !== 'function') return;
    void globalThis.Headers; // loads Node's own undici, which then sets its dispatcher
    const direct = globalThis[DISPATCHER];
    if (globalThis[DISPATCHER_2] || !direct) return;
    const kind = direct.constructor.name;
    if (kind === 'EnvHttpProxyAgent') offerToUndici8(direct);
    if (kind !== 'Agent') return; // Node's choice by NODE_USE_ENV_PROXY, or another preload's
    const proxied = new direct.constructor({ connect });
    const dispatch = proxied.dispatch;
    proxied.dispatch = function (options, handler) {
      const target = options && options.origin ? targetOf(new URL(options.origin)) : null;
      const proxy = target && proxyFor(target.scheme, target.host, target.port);
      return proxy ? dispatch.call(this, options, handler) : direct.dispatch(options, handler);
    };
    globalThis[DISPATCHER] = proxied; // Node may follow with its EnvHttpProxyAgent
    offerToUndici8(proxied);
  }

  function targetOf(url) {
    const scheme = url.protocol === 'https:' ? 'https' : 'http';
    return { scheme, host: plainHost(url.hostname), port: Number(url.port) || (scheme === 'https' ? 443 : 80) };
  }

  // undici's connector: callback(err) or callback(null, socket). Both schemes get a tunnel, as from undici's ProxyAgent.
  function connect(options, callback) {
    const { scheme, host, port } = targetOf(options);
    const proxy = proxyFor(scheme, host, port);
    if (!proxy) return callback(new Error('the proxy variables changed during the call'));
    const socket = openTunnel(proxy, host, port, (err) => {
      if (err) return callback(err);
      if (scheme === 'http') return callback(null, socket);
      const servername = options.servername || (net.isIP(host) ? '' : host);
      const secure = tls.connect({ socket, servername, host, ALPNProtocols: ['http/1.1'] });
      const onTimeout = () => secure.destroy(Object.assign(new Error('TLS handshake timed out'), { code: 'ETIMEDOUT' }));
      const settle = (cause) => {
        secure.setTimeout(0).removeListener('timeout', onTimeout).removeListener('error', settle);
        callback(cause || null, cause ? undefined : secure);
      };
      secure.setTimeout(TUNNEL_TIMEOUT).once('timeout', onTimeout).once('error', settle);
      secure.once('secureConnect', () => settle());
    });
  }

  // An application's undici 8 looks for a dispatcher under a symbol that older ones, such as Node's, do not set.
  // Finding none it makes one, which goes direct, and puts it in Node's place as well. So it is offered ours,
  // behind an adapter from version 2 of undici's handler interface to version 1.
  function offerToUndici8(dispatcher) {
    const value = Object.assign(Object.create(dispatcher), {
      dispatch: (options, handler) => dispatcher.dispatch(options, handler.onRequestStart ? adapt(handler) : handler),
      close: (...args) => dispatcher.close(...args),
      destroy: (...args) => dispatcher.destroy(...args),
    });
    Object.defineProperty(globalThis, DISPATCHER_2, { value, writable: true, enumerable: false, configurable: false });
  }

  function adapt(handler) {
    let resume = null;
    const controller = {
      rawHeaders: null,
      rawTrailers: null,
      aborted: false,
      paused: false,
      reason: null,
      pause() { controller.paused = true; },
      resume() {
        if (!controller.paused) return;
        controller.paused = false;
        if (resume) resume();
      },
    };
    const tell = (name, ...args) => handler[name] && handler[name](...args);
    return {
      onConnect(abort, context) {
        controller.abort = (reason) => {
          if (controller.aborted) return;
          controller.aborted = true;
          controller.reason = reason;
          abort(reason);
        };
        tell('onRequestStart', controller, context);
      },
      onBodySent(chunk) { tell('onBodySent', chunk); },
      onRequestSent() { tell('onRequestSent'); },
      onResponseStarted() { tell('onResponseStarted'); },
      onUpgrade(status, raw, socket) {
        controller.rawHeaders = raw;
        tell('onRequestUpgrade', controller, status, headersOf(raw), socket);
      },
      onHeaders(status, raw, resumeBody, text) {
        resume = resumeBody;
        controller.rawHeaders = raw;
        tell('onResponseStart', controller, status, headersOf(raw), text);
        return !controller.paused;
      },
      onData(chunk) {
        tell('onResponseData', controller, chunk);
        return !controller.paused;
      },
      onComplete(raw) {
        controller.rawTrailers = raw;
        tell('onResponseEnd', controller, headersOf(raw || []));
      },
      onError(err) { tell('onResponseError', controller, err); },
    };
  }

  // Pairs of buffers as an object: lower-case names, an array where a name stands more than once.
  function headersOf(raw) {
    const headers = {};
    for (let i = 0; i < raw.length; i += 2) {
      const name = raw[i].toString('latin1').toLowerCase();
      const values = [].concat(headers[name] || [], raw[i + 1]).map((value) => value.toString('latin1'));
      headers[name] = values.length === 1 ? values[0] : values;
    }
    return headers;
  }
})();
