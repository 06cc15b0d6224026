// Node's own fetch, or with FETCH_FROM=undici the npm package's.
import { args, call, form, headers, report } from './report.mjs';

const fetch = process.env.FETCH_FROM === 'undici' ? (await import('undici')).fetch : globalThis.fetch;
const describe = async (r) => call(r.status, r.headers, await r.json());
const created = await describe(
  await fetch(`${args.origin}/v1/customers`, {
    method: 'POST',
    headers: headers({ 'content-type': 'application/x-www-form-urlencoded' }),
    body: form(),
  }),
);
const read = await describe(await fetch(`${args.origin}/v1/customers/${created.id}`, { headers: headers() }));
report(created, read);
