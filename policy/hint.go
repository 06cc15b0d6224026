package policy

// Hint says what to do next after a refusal or failure made here, where the stage
// that made it knows nothing better.
func (c Code) Hint() string { return codeHints[c] }

// Hint says what to do next after an answer of the class, where no rule of the
// policy knows better; "" for those that are no failure. docs/errors.md has them as
// a table.
func (o Outcome) Hint() string { return classHints[o] }

var codeHints = map[Code]string{
	NoProvider:            "Add the host to a provider block, or check the name after /p/.",
	NotAllowed:            "If the call may be made, add it to allow.requests of the provider.",
	ClientRequired:        "Put the client's name and token into the proxy's URL; on a base URL give the token as the API key.",
	ClientRefused:         "Compare name, token and providers with the client block.",
	HostMismatch:          "Name the same host and port in CONNECT, the TLS server name, the Host header and the URL.",
	BadRequest:            "Mend the request: the detail says what cannot be sent as it is.",
	AccountUnknown:        "Name the account by Postern-Account; if it is a new one, ask for a link: postern connections connect PROVIDER ACCOUNT.",
	NeedsConnection:       "Ask for a link (postern connections connect PROVIDER ACCOUNT) and have the customer open it.",
	CredentialUnavailable: "Put the secret where the policy's credential reads it: postern secrets check says how each stands.",
	Limited:               "Wait for Retry-After; call more slowly, or raise the policy's limit if the provider grants more.",
	BreakerOpen:           "Wait for Retry-After; the last failures in the log and the provider's status page say why.",
	IdempotencyRequired:   "Send a key of your own, the same for every repeat of this operation.",
	IdempotencyMismatch:   "Use a new key for a new operation, or send exactly what the key was used for.",
	IdempotencyInFlight:   "Wait for the first call to end, and repeat this one with the same key.",
	CodeUnreachable:       "Look at executed: with no, make the call again; with maybe, look at the provider first.",
	UpstreamTimeout:       "Look at executed before you make the call again; raise timeout.attempt or timeout.total if the provider needs longer.",
	BodyTooLarge:          "Send a shorter body, or raise retry.buffer of the provider.",
	ContractInput:         "Compare the input with what the contract declares: the detail names the field.",
	ContractOutput:        "Compare the provider's answer with the contract's output: the provider may have changed its API.",
	NotReady:              "Make the call again when /readyz answers 200.",
	ShuttingDown:          "Make the call again: the next process answers. With executed maybe, look at the provider first.",
}

var classHints = map[Outcome]string{
	Validation:     "Mend the request: the provider's code and message say which field it refuses. Sent as it is, it fails again.",
	Auth:           "The provider refuses the credential: put a valid one where the policy reads it, or connect the account again.",
	Forbidden:      "The credential is valid, but may not do this: grant it the scope or permission that the provider's message names.",
	NotFound:       "Check the id, the account and the path: the object is gone, of another account, or was never there.",
	Conflict:       "Read the object as it is now and decide anew; what only was locked can be sent again.",
	RateLimited:    "Call more slowly: wait for Retry-After, and set a limit in the policy that keeps below the provider's.",
	QuotaExhausted: "Waiting does not help soon: raise the quota with the provider, or stop calling until it begins anew.",
	ClientError:    "The provider's code and message say what it refuses. Sent as it is, it fails again.",
	ServerError:    "The provider failed: see its status page. Send again only what is idempotent or bears a key.",
	Unreachable:    "Look at executed: with no, make the call again; with maybe, look at the provider first.",
	Timeout:        "Look at executed before you make the call again; raise the limits of timeout if the provider needs longer.",
	Cancelled:      "The application left before the answer was there: raise its time limit above timeout.total, or look at executed.",
	Denied:         "Postern refused the call: the code says which rule of the policy it is about.",
}
