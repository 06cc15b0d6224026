# The Redis of shared limits. Only one block counts, and only what is a URL of Redis.
shared { url = "redis://postern:hunter2@redis.internal:6379/0" } # error: a secret does not belong into a policy

shared { # error: Duplicate shared
  url = "redis://127.0.0.1:6379/0"
}
