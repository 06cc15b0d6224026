store { url = "postgres://db/postern" }  # error: not built yet
store { url = "sqlite:other.db" }        # error: Duplicate store
