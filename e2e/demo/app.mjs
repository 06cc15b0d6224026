// An application that calls Stripe with stripe-node, and a ledger with fetch. It knows of no proxy, and the only key it
// has is the placeholder that stripe-node insists on. It prints its environment, then a line for each call; app.go does
// the same.
import { createRequire } from 'node:module';

const Stripe = createRequire(new URL('../node/package.json', import.meta.url))('stripe');
const stripe = new Stripe('placeholder', { maxNetworkRetries: 0, telemetry: false });

const print = (line) => console.log(JSON.stringify(line));

function postern(headers) {
  const out = {};
  for (const [name, value] of headers) {
    if (name.toLowerCase().startsWith('postern-')) out[name.toLowerCase().slice(8)] = String(value);
  }
  return out;
}

async function call(method, path, work) {
  const line = { method, path, status: 0, id: '', postern: {}, error: '' };
  try {
    const object = await work();
    Object.assign(line, { status: object.lastResponse.statusCode, id: object.id, postern: postern(Object.entries(object.lastResponse.headers)) });
  } catch (e) {
    Object.assign(line, { status: e.statusCode ?? 0, postern: postern(Object.entries(e.headers ?? {})), error: e.message });
  }
  print(line);
  return line;
}

print({ environment: Object.entries(process.env).map(([name, value]) => `${name}=${value}`) });
for (let i = 0; i < 5; i++) {
  const customer = await call('POST', '/v1/customers', () => stripe.customers.create({ email: `jenny${i}@example.com` }));
  await call('GET', `/v1/customers/${customer.id}`, () => stripe.customers.retrieve(customer.id));
  const charge = await call('POST', '/v1/charges', () => stripe.charges.create({ amount: 100 + i, currency: 'eur', source: 'tok_visa' }));
  await call('GET', `/v1/charges/${charge.id}`, () => stripe.charges.retrieve(charge.id));
}
const line = { method: 'POST', path: '/v1/entries', status: 0, id: '', postern: {}, error: '' };
try {
  const response = await fetch('https://api.ledger.example/v1/entries', { method: 'POST', body: new URLSearchParams({ amount: '100' }) });
  Object.assign(line, { status: response.status, postern: postern(response.headers), problem: await response.json() });
} catch (e) {
  line.error = String(e.cause ?? e);
}
print(line);
