// stripe-node as an application uses it; the key it insists on is a placeholder.
import Stripe from 'stripe';
import { args, call, report } from './report.mjs';

const at = new URL(args.origin);
const stripe = new Stripe(args.key || 'placeholder', {
  maxNetworkRetries: 0,
  telemetry: false,
  ...(at.hostname === 'api.stripe.com' ? {} : { host: at.hostname, port: at.port, protocol: at.protocol.slice(0, -1) }),
});
const describe = (c) => call(c.lastResponse.statusCode, c.lastResponse.headers, c);
const created = await stripe.customers.create({ email: args.email });
const read = await stripe.customers.retrieve(created.id);
report(describe(created), describe(read));
