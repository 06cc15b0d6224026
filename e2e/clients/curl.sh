#!/bin/sh
# Creates and reads a customer with curl, $HTTP being --http1.1 or --http2. usage: curl.sh EMAIL [ORIGIN [KEY]]
set -eu
email=$1 origin=${2:-https://api.stripe.com} key=${3:-}
out=$(mktemp -d) && trap 'rm -rf "$out"' EXIT

# call CURL-ARGUMENTS… prints one answer as JSON.
call() {
	[ -z "$key" ] || set -- -H "Authorization: Bearer $key" "$@"
	w=$(curl -sS "$HTTP" -D "$out/head" -o "$out/body" -w '%{http_code} %{http_version}' "$@")
	printf '{"status":%s,"proto":"%s","id":"%s","email":"%s","postern":{' "${w% *}" "${w#* }" "$(field id)" "$(field email)"
	# Only the last head: a proxy's answer to CONNECT and a 100 Continue come before it.
	tr -d '\r' <"$out/head" | awk -F': ' '/^HTTP\//{n=0} tolower($1)~/^postern-/{k[n]=tolower(substr($1,9)); v[n++]=$2}
		END{for(i=0;i<n;i++)printf "%s\"%s\":\"%s\"", i?",":"", k[i], v[i]}'
	printf '}}'
}
field() { sed -n "s/^  \"$1\": \"\([^\"]*\)\".*/\1/p" "$out/body" | head -n 1; }

printf '{"created":'
call "$origin/v1/customers" --data-urlencode "email=$email"
id=$(field id)
printf ',"read":'
call "$origin/v1/customers/$id"
printf '}\n'
