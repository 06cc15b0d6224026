// Signs webhooks with the vendors' own code. One JSON line in, {vendor, secret, id, payload, timestamp};
// one JSON line out, {headers, payload}. timestamp (seconds) is optional and defaults to now.
import { createInterface } from 'node:readline';
import Stripe from 'stripe';
import { Webhooks } from '@octokit/webhooks';
import { Webhook } from 'standardwebhooks';

const vendors = {
  stripe({ secret, payload, timestamp }) {
    return { 'Stripe-Signature': Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp }) };
  },
  async github({ secret, payload, id }) {
    return {
      'X-Hub-Signature-256': await new Webhooks({ secret }).sign(payload),
      'X-GitHub-Delivery': id,
      'X-GitHub-Event': 'issues',
    };
  },
  standard({ secret, payload, id, timestamp }) {
    const at = timestamp ? new Date(timestamp * 1000) : new Date();
    return {
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(id, at, payload),
    };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  console.log(JSON.stringify({ headers: await vendors[job.vendor](job), payload: job.payload }));
}
