package oauth

import (
	"strings"

	"github.com/tidwall/gjson"
)

type class uint8

const (
	unknown class = iota
	revoked
	temporary
	misconfigured
	badClient // misconfigured: the credentials
	denied
	doubtful // misconfigured, unless it is about the refresh token
)

// codes says what the codes mean that servers give.
var codes = map[string]class{
	// RFC 6749 §4.1.2.1 and §5.2, RFC 7009 §2.2.1, RFC 8707 §2.
	"invalid_grant":             revoked,
	"invalid_client":            badClient,
	"invalid_scope":             misconfigured,
	"invalid_target":            misconfigured,
	"unsupported_grant_type":    misconfigured,
	"unsupported_response_type": misconfigured,
	"unsupported_token_type":    misconfigured,
	"invalid_request":           doubtful, // Zoom, LinkedIn: also for a refresh token that is no good
	"unauthorized_client":       doubtful, // Atlassian: 403, "refresh_token is invalid"
	"access_denied":             denied,
	"user_cancelled_login":      denied, // LinkedIn
	"user_cancelled_authorize":  denied, // LinkedIn
	"server_error":              temporary,
	"temporarily_unavailable":   temporary,
	"slow_down":                 temporary, // RFC 8628 §3.5

	// OpenID Connect Core §3.1.2.6; Microsoft answers a refresh with them:
	// learn.microsoft.com/entra/identity-platform/reference-error-codes.
	"interaction_required": revoked,
	"login_required":       revoked,
	"consent_required":     revoked,

	// docs.github.com: "Refreshing user access tokens", "Troubleshooting OAuth app
	// access token request errors".
	"bad_refresh_token":            revoked,
	"bad_verification_code":        revoked,
	"incorrect_client_credentials": badClient,
	"redirect_uri_mismatch":        misconfigured,
	"application_suspended":        misconfigured,

	// docs.slack.dev/reference/methods/oauth.v2.access, auth.revoke.
	"invalid_refresh_token": revoked,
	"token_revoked":         revoked,
	"token_expired":         revoked,
	"account_inactive":      revoked,
	"invalid_code":          revoked,
	"code_already_used":     revoked,
	"invalid_client_id":     badClient,
	"bad_client_secret":     badClient,
	"bad_redirect_uri":      misconfigured,
	"invalid_grant_type":    misconfigured,
	"ratelimited":           temporary,
	"internal_error":        temporary,
	"fatal_error":           temporary,
	"service_unavailable":   temporary,

	// HubSpot: {"status": "BAD_REFRESH_TOKEN"}; Square: {"type": …}.
	"BAD_REFRESH_TOKEN":      revoked,
	"BAD_AUTH_CODE":          revoked,
	"BAD_CLIENT_ID":          badClient,
	"BAD_CLIENT_SECRET":      badClient,
	"service.not_authorized": doubtful,

	// help.salesforce.com: "OAuth 2.0 Authorization Errors".
	"inactive_user":              revoked,
	"inactive_org":               revoked,
	"invalid_client_credentials": badClient,
	"rate_limit_exceeded":        temporary,

	// shopify.dev: the app is not, or is no longer, known.
	"application_cannot_be_found": misconfigured,
}

// said is the code and the words of an answer that tells an error: RFC 6749
// §5.2, an object in its place (Facebook, Google), ok: false (Slack), reason
// (Zoom), status or type and message (HubSpot, Square), a list of errors
// (Square). Without a token besides, message alone counts as well (GitHub).
func said(top gjson.Result) (code, description string) {
	first := func(in gjson.Result, names ...string) string {
		for _, name := range names {
			if v := in.Get(name); v.Type == gjson.String && v.Str != "" {
				return v.Str
			}
		}
		return ""
	}
	switch e := top.Get("error"); {
	case e.Type == gjson.String && e.Str != "":
		return e.Str, first(top, "error_description", "reason", "message")
	case e.IsObject():
		return or(first(e, "type", "status", "code"), "unreadable"), first(e, "message")
	case top.Get("ok").Type == gjson.False:
		return "not_ok", ""
	case top.Get("errors.0").IsObject():
		return or(first(top, "errors.0.code"), "unreadable"), first(top, "errors.0.detail", "errors.0.message")
	case e.Exists() && e.Type != gjson.Null && e.Type != gjson.False && e.Type != gjson.String:
		return "unreadable", ""
	case first(top, "message") != "" && !top.Get("access_token").Exists() && !top.Get("token").Exists():
		if code = first(top, "status", "type"); strings.Trim(code, "0123456789") == "" {
			code = "" // GitHub repeats the status
		}
		return code, first(top, "message")
	}
	return "", ""
}
