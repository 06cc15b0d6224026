package credential

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
)

// denied words why a call has no token. What is none of a connection's errors,
// such as that the client has left, stays as it is.
func denied(err error, s *connection.Source, account string) error {
	var state *connection.StateError
	if errors.As(err, &state) {
		return stateRefusal(state, s, account)
	}
	var none *connection.UnavailableError
	if !errors.As(err, &none) {
		return err
	}
	d := &policy.Denial{
		Code: policy.CredentialUnavailable, Stage: "credential", Detail: "there is no valid token for this call: " + none.Error(),
		Hint: "Nothing was sent. postern connections show " + named(s.Provider, account) + " tells what happened.", RetryAfter: none.RetryAfter, Err: none.Err,
	}
	var secret *block.SecretError
	switch {
	case errors.Is(err, connection.ErrHosts):
		d.Hint = "If the new hosts are meant to get the tokens of these accounts: postern secrets reseal --hosts " + s.Provider + "."
	case errors.As(err, &secret):
		do, why := block.Cure(err)
		d.Hint = "Where Postern runs, " + do + ": " + why + "."
	}
	return d
}

// named is a provider and an account as commands take them.
func named(provider, account string) string { return strings.TrimSpace(provider + " " + account) }

func stateRefusal(e *connection.StateError, s *connection.Source, account string) error {
	link := fmt.Sprintf("Ask for a link: POST /api/v1/connect-sessions {\"provider\":%q,\"account\":%q} at the admin listener, or postern connections connect %s.", s.Provider, e.Key.Account, named(s.Provider, e.Key.Account))
	switch {
	case e.State == "" && e.Known > 1:
		return &policy.Denial{
			Code: policy.AccountUnknown, Stage: "credential", Detail: fmt.Sprintf("%s has several connections, and the call does not say which", s.Provider),
			Hint: "Name the account: Postern-Account, user+account in the proxy's credentials, or /p/" + s.Provider + "@ACCOUNT/ in a base URL.",
		}
	case e.State == "" && account == "":
		return &policy.Denial{Code: policy.AccountUnknown, Stage: "credential", Detail: "no account of " + s.Provider + " was ever connected", Hint: link}
	case e.State == "":
		return &policy.Denial{Code: policy.AccountUnknown, Stage: "credential", Detail: fmt.Sprintf("nobody ever asked for a connection of account %q of %s", account, s.Provider), Hint: link}
	}
	detail := map[connection.State]string{
		connection.Pending:        "the account was never connected, although a link was asked for",
		connection.NeedsReconnect: "the grant of this account is lost",
		connection.Revoked:        "the connection of this account was revoked",
	}[e.State]
	if e.Why != "" {
		detail += ": " + e.Why
	}
	return &policy.Denial{Code: policy.NeedsConnection, Stage: "credential", Detail: detail, Hint: link}
}
