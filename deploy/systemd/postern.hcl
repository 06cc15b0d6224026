# /etc/postern/postern.hcl, for the unit beside it: everything that is written
# goes to /var/lib/postern. Providers stand in files of their own.

proxy {
  trust = "/var/lib/postern/trust" # readable by applications
  ca    = "/var/lib/postern/ca"    # never shared
}

store { url = "sqlite:/var/lib/postern/postern.db" }
