#!/bin/sh
# Runs every fuzz target for a time each: sh fuzz.sh 60s
set -eu
time=${1:-20s}
for file in $(git ls-files '*_test.go' | grep -v '^e2e/' | grep -v '^bench/'); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(f \*testing\.F).*/\1/p' "$file"); do
		echo "== $(dirname "$file") $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$(dirname "$file")"
	done
done
