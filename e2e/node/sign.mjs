// Signs webhooks with the vendors' own code. One JSON line in, {vendor, secret, id, payload, timestamp, url};
// one JSON line out, {headers, payload}. timestamp (seconds) is optional and defaults to now. Where a vendor's package
// only verifies, the signature is made here as the vendor documents it, and the package has to accept it.
import assert from 'node:assert';
import crypto from 'node:crypto';
import { createInterface } from 'node:readline';

const now = () => Math.floor(Date.now() / 1000);
const hex = (secret, text) => crypto.createHmac('sha256', secret).update(text).digest('hex');
const standard = (Webhook) => ({ secret, payload, id, timestamp = now() }) =>
  new Webhook(secret).sign(id, new Date(timestamp * 1000), payload);

const vendors = {
  async stripe({ secret, payload, timestamp }) {
    const { default: Stripe } = await import('stripe');
    return { 'Stripe-Signature': Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp }) };
  },
  async github({ secret, payload, id }) {
    const { Webhooks } = await import('@octokit/webhooks');
    return {
      'X-Hub-Signature-256': await new Webhooks({ secret }).sign(payload),
      'X-GitHub-Delivery': id,
      'X-GitHub-Event': 'issues',
    };
  },
  async standard(job) {
    const { Webhook } = await import('standardwebhooks');
    return {
      'webhook-id': job.id,
      'webhook-timestamp': String(job.timestamp ?? now()),
      'webhook-signature': standard(Webhook)(job),
    };
  },
  async svix(job) {
    const { Webhook } = await import('svix');
    return {
      'svix-id': job.id,
      'svix-timestamp': String(job.timestamp ?? now()),
      'svix-signature': standard(Webhook)(job),
    };
  },
  async twilio({ secret, payload, url }) {
    const { default: twilio } = await import('twilio');
    const { getExpectedTwilioSignature } = await import('twilio/lib/webhooks/webhooks.js');
    const params = Object.fromEntries(new URLSearchParams(payload));
    const signature = getExpectedTwilioSignature(secret, url, params);
    assert(twilio.validateRequest(secret, signature, url, params));
    return { 'X-Twilio-Signature': signature, 'Content-Type': 'application/x-www-form-urlencoded' };
  },
  async workos({ secret, payload, timestamp = now() }) {
    const { WorkOS } = await import('@workos-inc/node');
    const millis = timestamp * 1000;
    // It signs what it serialises itself.
    const signature = await new WorkOS('sk_test').webhooks.computeSignature(millis, JSON.parse(payload), secret);
    return { 'WorkOS-Signature': `t=${millis}, v1=${signature}` };
  },
  async adyen(job) {
    const { hmacValidator: Validator } = await import('@adyen/api-library');
    const body = JSON.parse(job.payload);
    for (const { NotificationRequestItem: item } of body.notificationItems) {
      const validator = new Validator();
      item.additionalData = { ...item.additionalData, hmacSignature: validator.calculateHmac(item, job.secret) };
      assert(validator.validateHMAC(item, job.secret));
    }
    job.payload = JSON.stringify(body);
    return {};
  },
  async hubspot({ secret, payload, url, timestamp = now() }) {
    const { Signature } = await import('@hubspot/api-client');
    const millis = timestamp * 1000;
    return {
      'X-HubSpot-Signature-v3': Signature.getSignature('POST', 'v3', { clientSecret: secret, requestBody: payload, url, timestamp: millis }),
      'X-HubSpot-Request-Timestamp': String(millis),
    };
  },
  async gocardless({ secret, payload }) {
    const { parse } = await import('gocardless-nodejs/webhooks');
    const signature = hex(secret, payload);
    assert(parse(payload, secret, signature));
    return { 'Webhook-Signature': signature };
  },
  async razorpay({ secret, payload, id }) {
    const { default: Razorpay } = await import('razorpay');
    const signature = hex(secret, payload);
    assert(Razorpay.validateWebhookSignature(payload, signature, secret));
    return { 'X-Razorpay-Signature': signature, 'X-Razorpay-Event-Id': id };
  },
  // secret is PKCS #8 in PEM, of an Ed25519 key here and of a P-256 key below.
  async discord({ secret, payload, timestamp = now() }) {
    const { verifyKey } = await import('discord-interactions');
    const at = String(timestamp);
    const key = crypto.createPrivateKey(secret);
    const signature = crypto.sign(null, Buffer.from(at + payload), key).toString('hex');
    const raw = crypto.createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
    assert(await verifyKey(payload, signature, at, raw));
    return { 'X-Signature-Ed25519': signature, 'X-Signature-Timestamp': at };
  },
  async sendgrid({ secret, payload, timestamp = now() }) {
    const { EventWebhook } = (await import('@sendgrid/eventwebhook')).default;
    const at = String(timestamp);
    const key = crypto.createPrivateKey(secret);
    const signature = crypto.sign('sha256', Buffer.from(at + payload), key).toString('base64');
    const spki = crypto.createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64');
    const verifier = new EventWebhook();
    assert(verifier.verifySignature(verifier.convertPublicKeyToECDSA(spki), payload, signature, at));
    return { 'X-Twilio-Email-Event-Webhook-Signature': signature, 'X-Twilio-Email-Event-Webhook-Timestamp': at };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  console.log(JSON.stringify({ headers: await vendors[job.vendor](job), payload: job.payload }));
}
