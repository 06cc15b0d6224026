// A Google service account as an application uses it: google-auth-library with the account's JSON file.
// usage: node google.mjs KEY_FILE SCOPE URL
import { GoogleAuth } from 'google-auth-library';

const [keyFilename, scope, url] = process.argv.slice(2);
const client = await new GoogleAuth({ keyFilename, scopes: [scope] }).getClient();
const first = await client.request({ url });
const second = await client.request({ url, method: 'POST', data: { name: 'report.txt' } });
const { token } = await client.getAccessToken();
console.log(JSON.stringify({ read: first.data, made: second.data, token }));
