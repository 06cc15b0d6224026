// A Slack app as an application writes it: @slack/web-api with a bot token.
// usage: node slack.mjs TOKEN
import { WebClient } from '@slack/web-api';

const slack = new WebClient(process.argv[2], { retryConfig: { retries: 0 } });
const test = await slack.auth.test();
const posted = await slack.chat.postMessage({ channel: 'C0123456789', text: 'Grüße & more: 100 %' });
console.log(JSON.stringify({ team: test.team, text: posted.message.text }));
