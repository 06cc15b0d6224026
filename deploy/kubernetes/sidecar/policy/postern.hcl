# Postern as a sidecar. The ports are none that applications like to take,
# because containers of a pod share them.

environment = env("POSTERN_ENV", "production")

proxy {
  listen = "127.0.0.1:8780"          # the pod alone
  trust  = "/var/lib/postern/trust"  # shared with the application
  ca     = "/var/lib/postern/key/ca" # in memory, never shared
}

inbound { listen = "127.0.0.1:8781" }

admin {
  listen = ":8782" # the kubelet asks for health by the pod's address
  token  = file("/run/secrets/postern/admin-token")
}

# One store for all pods, so that they know the same connections and keys.
store { url = env("DATABASE_URL") }

# One exact limit for all replicas; without it they divide limits.
# shared { url = env("REDIS_URL") }
