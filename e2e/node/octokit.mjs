// Octokit's request machinery (global fetch underneath), pointed at Stripe's API.
import { Octokit } from '@octokit/rest';
import { args, call, form, headers, report } from './report.mjs';

const octokit = new Octokit({ baseUrl: args.origin });
const describe = (r) => call(r.status, r.headers, r.data);
const created = await octokit.request('POST /v1/customers', {
  headers: headers({ 'content-type': 'application/x-www-form-urlencoded' }),
  data: form(),
});
const read = await octokit.request('GET /v1/customers/{id}', { headers: headers(), id: created.data.id });
report(describe(created), describe(read));
