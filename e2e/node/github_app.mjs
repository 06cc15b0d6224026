// A GitHub App as an application writes it: App id and private key in its hands, tokens by @octokit/auth-app.
// usage: node github_app.mjs APP_ID INSTALLATION_ID KEY_FILE
import { readFileSync } from 'node:fs';
import { Octokit } from '@octokit/rest';
import { createAppAuth } from '@octokit/auth-app';

const [appId, installationId, keyFile] = process.argv.slice(2);
const octokit = new Octokit({
  authStrategy: createAppAuth,
  auth: { appId, installationId: Number(installationId), privateKey: readFileSync(keyFile, 'utf8') },
});
const app = await octokit.rest.apps.getAuthenticated();
const repos = await octokit.rest.apps.listReposAccessibleToInstallation();
const issue = await octokit.rest.issues.create({ owner: 'octo', repo: 'hello', title: 'a bug' });
const { token } = await octokit.auth({ type: 'installation' });
console.log(JSON.stringify({ app: app.data.slug, repositories: repos.data.total_count, issue: issue.data.number, token }));
