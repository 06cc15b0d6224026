// Verifies what an application is sent by Standard Webhooks, with standardwebhooks and svix from npm. One JSON line in,
// {secret, headers, body}, with body in Base64; one JSON line out, {ok} or {error}: both have to say the same.
import { createInterface } from 'node:readline';
import { Webhook } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';

function refusal(Library, { secret, headers, body }) {
  try {
    const value = new Library(secret).verify(body, headers);
    return JSON.stringify(value) === JSON.stringify(JSON.parse(body)) ? '' : 'it returns another body';
  } catch (e) {
    return String(e);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  job.body = Buffer.from(job.body, 'base64').toString();
  const errors = [Webhook, Svix].map((library) => refusal(library, job));
  if (Boolean(errors[0]) !== Boolean(errors[1])) {
    console.log(JSON.stringify({ ok: false, error: `they do not agree: ${errors.join('; ')}`, torn: true }));
  } else {
    console.log(JSON.stringify({ ok: !errors[0], error: errors[0] }));
  }
}
