// Verifies HTTP message signatures (RFC 9421) and the digest of the body (RFC 9530) with http-message-signatures from npm.
// One JSON line in, {method, url, headers, body, alg, key, required}, with body in Base64; one JSON line out, {ok} or {error}.
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { createVerifier, httpbis } from 'http-message-signatures';

function digest(headers, body) {
  const said = headers['content-digest'];
  if (!said) return body.length === 0;
  const [, name, value] = /^(sha-256|sha-512)=:([^:]+):$/.exec(said);
  return createHash(name.replace('-', '')).update(body).digest('base64') === value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { method, url, headers, body, alg, key, required } = JSON.parse(line);
  try {
    const verified = await httpbis.verifyMessage(
      {
        keyLookup: async ({ keyid }) => ({ id: keyid, algs: [alg], verify: createVerifier(key, alg) }),
        requiredParams: ['created', 'keyid'],
        requiredFields: required,
        maxAge: 60,
        tolerance: 1,
        all: true,
      },
      { method, url, headers },
    );
    console.log(JSON.stringify({ ok: verified === true && digest(headers, Buffer.from(body, 'base64')) }));
  } catch (e) {
    console.log(JSON.stringify({ ok: false, error: String(e) }));
  }
}
