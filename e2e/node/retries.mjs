// SDKs with their own retries on, as their makers ship them; only their waits are shorter, where they can be.
// usage: node retries.mjs SDK CALLS
import { Octokit } from '@octokit/rest';
import { retry } from '@octokit/plugin-retry';
import { throttling } from '@octokit/plugin-throttling';
import { WebClient } from '@slack/web-api';
import OpenAI from 'openai';
import Stripe from 'stripe';

const [sdk, calls] = process.argv.slice(2);
const limits = []; // waits that Octokit's throttling was told of

const makers = {
  stripe: () => {
    const stripe = new Stripe('placeholder', { maxNetworkRetries: 2, telemetry: false });
    return (n) => stripe.customers.create({ email: `${n}@example.com` });
  },
  openai: () => {
    const openai = new OpenAI({ apiKey: 'placeholder', maxRetries: 2 });
    return (n) => openai.embeddings.create({ model: 'm', input: `${n}`, encoding_format: 'float' });
  },
  octokit: () => {
    const limited = (kind) => (after, options, octokit, count) => {
      limits.push({ kind, after });
      return count < 2 && after < 60;
    };
    const octokit = new (Octokit.plugin(retry, throttling))({
      auth: 'placeholder',
      retry: { retries: 3, retryAfterBaseValue: 20 },
      throttle: { onRateLimit: limited('primary'), onSecondaryRateLimit: limited('secondary'), retryAfterBaseValue: 20 },
    });
    return (n) => octokit.rest.repos.get({ owner: 'octo', repo: `r${n}` });
  },
  slack: () => {
    const slack = new WebClient('xoxb-placeholder', { logLevel: 'error', retryConfig: { retries: 2, minTimeout: 20, maxTimeout: 40 } });
    return (n) => slack.chat.postMessage({ channel: 'C1', text: `${n}` });
  },
};

const call = makers[sdk]();
const done = await Promise.allSettled(Array.from({ length: Number(calls) }, (_, n) => call(n)));
console.log(JSON.stringify({
  ok: done.filter((d) => d.status === 'fulfilled').length,
  errors: done.filter((d) => d.status === 'rejected').map((d) => String(d.reason?.message ?? d.reason).slice(0, 200)),
  limits,
}));
process.exit(0); // stripe-node leaves answers unread, and their connections open for 80 s
