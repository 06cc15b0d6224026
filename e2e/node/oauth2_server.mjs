// oauth2-mock-server as it ships, with short tokens. It prints its port.
// usage: node oauth2_server.mjs ISSUER SECONDS
import { OAuth2Server } from 'oauth2-mock-server';

const [issuer, life] = [process.argv[2], Number(process.argv[3])];
const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
server.issuer.url = issuer;
server.service.on('beforeTokenSigning', (token) => {
  token.payload.exp = Math.ceil(Date.now() / 1000) + life; // no less than it says in expires_in
});
server.service.on('beforeResponse', (response) => {
  response.body.expires_in = life;
});
await server.start(0, '127.0.0.1');
console.log(server.address().port);
