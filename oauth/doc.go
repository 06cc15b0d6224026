// Package oauth is what goes over the wire to an OAuth 2.0 authorization server
// (RFC 6749), and nothing else: it keeps no state, stores nothing, retries
// nothing, and knows no policy. Whoever keeps tokens calls it.
//
// A [Server] says how one provider wants to be talked to, a [Client] who we are
// there. Each method sends at most one request, through a [Do] of the caller's,
// and gives a [Token] or an [*Error]:
//
//	s := &oauth.Server{
//		AuthorizeURL: "https://auth.example.com/authorize",
//		TokenURL:     "https://auth.example.com/token",
//		PKCE:         true,
//	}
//	c := &oauth.Client{ID: "id", Secret: "secret"}
//
//	verifier := oauth.NewVerifier() // kept, with state, until the browser is back
//	link := s.AuthorizeLink(c, redirect, state, verifier, []string{"read"})
//
//	code, err := oauth.CheckCallback(query, state, s.Issuer)
//	token, err := s.Exchange(ctx, do, c, code, verifier, redirect)
//	token, err = s.Refresh(ctx, do, c, token.Refresh, nil)
//
// Three things are the caller's. A refresh token may be good for one use, so one
// refresh at a time, and what it gives is on disk before it is used. An answer
// without a refresh token means that the old one stays ([Token.Refresh]). And
// an error is asked what it means ([Error.Revoked], [Error.Temporary],
// [Error.Misconfigured], [Error.ClientRefused], [Error.Ambiguous]) before
// anything is sent again.
//
// Nothing here prints a secret: what a server writes in its errors is cleaned,
// and freed of every value that was sent to it.
//
//	server.go     how a server wants to be talked to; Check
//	auth.go       how a client says who it is
//	authorize.go  the link to the server, PKCE, and the browser's way back
//	grant.go      code, refresh, client credentials, assertion, GitHub App: one request each
//	request.go    how it is built and sent, and its answer read
//	token.go      what an answer says
//	expiry.go     until when a token is good
//	revoke.go     RFC 7009, and the providers' own ways
//	error.go      what went wrong, and what that means
//	codes.go      the codes that servers give, and where in an answer they stand
//	mask.go       no secret in an error, or in print
//	jwt.go        signing assertions (RFC 7523)
//	key.go        private keys and service accounts
//	scope.go      what was asked for and what was granted
package oauth
