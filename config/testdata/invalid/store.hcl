store { url = "postgres://postern:hunter2@db/postern" } # error: a secret does not belong into a policy
store { url = "sqlite:other.db" }        # error: Duplicate store
