#!/bin/sh
# Brings what the end-to-end tests drive: Debian's python3-requests, curl and git, and the npm clients of node/.
# Idempotent. Without root or without apt it says what is missing and goes on; the tests name what they skip.
set -u
cd "$(dirname "$0")" || exit 1

missing=
command -v curl >/dev/null || missing="$missing curl"
command -v git >/dev/null || missing="$missing git"
/usr/bin/python3 -c 'import requests' 2>/dev/null || missing="$missing python3-requests"
if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		# shellcheck disable=SC2086
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } >&2 ||
			echo "setup: could not install:$missing" >&2
	else
		echo "setup: please install:$missing" >&2
	fi
fi

if ! command -v npm >/dev/null; then
	echo "setup: no npm: the Node clients and vendor signatures will be skipped" >&2
elif ! cmp -s node/package-lock.json node/node_modules/.setup-lock; then
	# The lock that was installed is kept beside the modules, so that a second run costs nothing.
	(cd node && npm ci --ignore-scripts --no-audit --no-fund && cp package-lock.json node_modules/.setup-lock) >&2 ||
		echo "setup: npm ci failed" >&2
fi
exit 0
