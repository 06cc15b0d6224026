// What every client script shares: its arguments, and the one JSON line it prints.
// usage of each script: node SCRIPT EMAIL [ORIGIN [KEY]]
const [email, origin, key] = process.argv.slice(2);

export const args = { email, origin: origin || 'https://api.stripe.com', key };

export const form = () => new URLSearchParams({ email }).toString();

export const headers = (more = {}) => ({ ...more, ...(key ? { authorization: `Bearer ${key}` } : {}) });

// call describes one answer: a status, an iterable or object of response headers, the customer.
export function call(status, responseHeaders, customer) {
  const entries = typeof responseHeaders.entries === 'function' ? [...responseHeaders.entries()] : Object.entries(responseHeaders);
  const postern = {};
  for (const [name, value] of entries) {
    if (name.toLowerCase().startsWith('postern-')) postern[name.toLowerCase().slice(8)] = String(value);
  }
  return { status, id: customer.id, email: customer.email, postern };
}

export const report = (created, read) => console.log(JSON.stringify({ created, read }));
