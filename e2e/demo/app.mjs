// An application that calls Stripe, in part with stripe-node and in part with fetch, and a ledger. It knows of no proxy,
// and the only key it has is the placeholder that stripe-node insists on. It prints its environment, then a line for each
// call; app.go does the same.
import { createRequire } from 'node:module';

const Stripe = createRequire(new URL('../node/package.json', import.meta.url))('stripe');
const stripe = new Stripe('placeholder', { maxNetworkRetries: 0, telemetry: false });
let own = ''; // the idempotency key that stripe-node made for its latest request
stripe.on('request', (e) => (own = e.method === 'POST' ? e.idempotency_key : ''));

const print = (line) => console.log(JSON.stringify(line));

function postern(headers) {
  const out = {};
  for (const [name, value] of headers) {
    if (name.toLowerCase().startsWith('postern-')) out[name.toLowerCase().slice(8)] = String(value);
  }
  return out;
}

// byStripeNode makes a call with work, which resolves to an object of Stripe.
async function byStripeNode(method, path, work) {
  const line = { method, path, status: 0, id: '', own: '', postern: {}, error: '' };
  try {
    const object = await work();
    Object.assign(line, { status: object.lastResponse.statusCode, id: object.id, postern: postern(Object.entries(object.lastResponse.headers)) });
  } catch (e) {
    Object.assign(line, { status: e.statusCode ?? 0, postern: postern(Object.entries(e.headers ?? {})), error: e.message });
  }
  line.own = own;
  print(line);
  return line;
}

async function byFetch(origin, path, form) {
  const line = { method: 'POST', path, status: 0, id: '', own: '', postern: {}, error: '' };
  try {
    const response = await fetch(origin + path, { method: 'POST', body: new URLSearchParams(form) });
    Object.assign(line, { status: response.status, postern: postern(response.headers) });
    const object = await response.json();
    Object.assign(line, response.ok ? { id: object.id } : { problem: object });
  } catch (e) {
    line.error = String(e.cause ?? e);
  }
  print(line);
  return line;
}

print({ environment: Object.entries(process.env).map(([name, value]) => `${name}=${value}`) });
for (let i = 0; i < 5; i++) {
  const customer = await byStripeNode('POST', '/v1/customers', () => stripe.customers.create({ email: `jenny${i}@example.com` }));
  await byStripeNode('GET', `/v1/customers/${customer.id}`, () => stripe.customers.retrieve(customer.id));
  const charge = await byFetch('https://api.stripe.com', '/v1/charges', { amount: 100 + i, currency: 'eur', source: 'tok_visa' });
  await byStripeNode('GET', `/v1/charges/${charge.id}`, () => stripe.charges.retrieve(charge.id));
}
await byFetch('https://api.ledger.example', '/v1/entries', { amount: 100 });
