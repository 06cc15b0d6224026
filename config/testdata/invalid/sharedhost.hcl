# Not Redis at all.
shared { url = "http://127.0.0.1:6379" } # error: rediss://HOST:PORT/DATABASE
