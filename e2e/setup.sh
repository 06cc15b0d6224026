#!/bin/sh
# Brings what the tests drive: Debian's PostgreSQL, PgBouncer and Redis, whose services it does not start, python3-requests,
# curl, git, strace, mkfs.ext4 and Chromium, and the npm clients and peers of node/.
# Idempotent. Without root or without apt it says what is missing and goes on; the tests name what they skip.
set -u
cd "$(dirname "$0")" || exit 1
PATH=$PATH:/usr/sbin:/sbin

missing=
services=
for program in curl git strace; do
	command -v $program >/dev/null || missing="$missing $program"
done
for program in redis-server pgbouncer; do
	command -v $program >/dev/null || { missing="$missing $program" services="$services $program"; }
done
command -v mkfs.ext4 >/dev/null || missing="$missing e2fsprogs"
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
/usr/bin/python3 -c 'import requests' 2>/dev/null || missing="$missing python3-requests"

get() { DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }

# Debian's packages start their services, and PostgreSQL's makes a cluster. The tests start their own.
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
restore() {
	if [ -n "${our_policy-}" ]; then rm -f "$policy"; fi
	if [ -e "$cluster.before" ]; then mv "$cluster.before" "$cluster"; fi
}

install_missing() {
	restore # of a run that was killed
	trap restore EXIT
	trap 'exit 1' HUP INT TERM
	if [ ! -e "$policy" ]; then
		our_policy=yes
		printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
	fi
	apt-get update -q || return
	case $missing in *postgresql*)
		get postgresql-common && cp -p "$cluster" "$cluster.before" && echo 'create_main_cluster = false' >>"$cluster" || return ;;
	esac
	if [ -n "$missing" ]; then
		# shellcheck disable=SC2086
		get $missing || return
	fi
	if [ -n "$services" ] && command -v systemctl >/dev/null; then
		# shellcheck disable=SC2086
		systemctl disable $services || return
	fi
	if [ -n "${browser-}" ]; then
		get "$browser" # after the others: it is large, and not everywhere
	fi
}

if ! command -v chromium >/dev/null; then
	browser=chromium
fi

if [ -n "$missing${browser-}" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		(install_missing) >&2 || echo "setup: could not install:$missing ${browser-}" >&2
	else
		echo "setup: please install:$missing ${browser-}" >&2
	fi
fi

if ! command -v npm >/dev/null; then
	echo "setup: no npm: the Node clients and vendor signatures will be skipped" >&2
elif ! cmp -s node/package-lock.json node/node_modules/.setup-lock; then
	# The lock that was installed is kept beside the modules, so that a second run costs nothing.
	(cd node && npm ci --ignore-scripts --no-audit --no-fund && cp package-lock.json node_modules/.setup-lock) >&2 ||
		echo "setup: npm ci failed" >&2
fi

# What is compiled here counts against no test's time.
if command -v go >/dev/null; then
	for tool in stripe-mock versitygw; do
		go tool -n $tool >/dev/null || echo "setup: could not build $tool" >&2
	done
fi
exit 0
