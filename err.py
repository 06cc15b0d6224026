p='docs/errors.md'
s=open(p).read()
a=s.index("**Cause.** Reserved for the response store. This version never answers it; a 422")
b=s.index("### unreachable")
s=s[:a]+'''**Cause.** The policy keeps answers (`idempotency.keep`), and this key was used before, within that time, for a call with another method,
host, path, query or body. Nothing was sent. A 422 of the provider's own passes through.

**Cure.** A new operation needs a new key. A repeat has to be the same to the byte: see what [the fingerprint](idempotency.md#what-a-repeat-is) is made of.

### idempotency_in_flight

409 · `conflict` · retryable · *A call with this idempotency key is still running*

**Cause.** The policy keeps answers, and a call with this key has begun, here or in another replica, and has no answer yet. If the process
that made it died, the key is free again at the restart with SQLite, and within 30 s with PostgreSQL. A 409 of the provider's own passes through.

**Cure.** Repeat the same call under the same key after `Retry-After`: it gets the first one's answer.

'''+s[b:]
s=s.replace('''log has the cause in `error`.
''','''log has the cause in `error`.

Or a call with this idempotency key was made before and nobody knows what became of it, and sending it again might have a second effect:
`detail` says when and why, and nothing was sent now. With `yes`, it had its effect and there is no answer to repeat. See
[what is not known](idempotency.md#what-is-not-known).
''',1)
a=s.index("**Cause.** Reserved for calls before everything is open.")
b=s.index("###",a) if "###" in s[a:] else len(s)
print(s[a-300:b+50])
open(p,'w').write(s)
