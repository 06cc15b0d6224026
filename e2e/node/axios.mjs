// axios: the current one, and with AXIOS_FROM=axios116 the last line that sends https URLs in absolute form.
import { args, call, form, headers, report } from './report.mjs';

const { default: axios } = await import(process.env.AXIOS_FROM || 'axios');
const describe = (r) => call(r.status, { ...r.headers }, r.data);
const created = await axios.post(`${args.origin}/v1/customers`, form(), {
  headers: headers({ 'content-type': 'application/x-www-form-urlencoded' }),
});
const read = await axios.get(`${args.origin}/v1/customers/${created.data.id}`, { headers: headers() });
report(describe(created), describe(read));
