package shared

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/policy/limit"
)

// script is the generic cell rate algorithm (ITU-T I.371) over one key, in
// microseconds of the clock of Redis. The value is the theoretical arrival time
// (tat), which is when the bucket will be full again; the time between tokens and
// the burst that it was reckoned with; and when the key came into being.
//
// ARGV: time between tokens; burst; when the key came into being as far as the
// caller knows, 0 if it knows nothing, or -1; the caller's idea of tat, from now;
// tokens to give back; then pairs of how many are wanted and how far away each of
// them may be. Wishes are granted in their order.
//
// It replies with the time, when the key came into being, tat before the grants,
// and how many of each pair were granted. Another time between tokens or burst
// keeps the tokens that are left, up to the new burst. A key that is not the one
// that the caller knows was wiped: it then starts no fuller than the caller knows.
const script = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local every, burst, born = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local floor = now + ARGV[4]
local tat, begun, changed = floor, now, ARGV[5] ~= '0'
local value = redis.call('GET', KEYS[1])
local tat0, every0, burst0, begun0 = string.match(value or '', '^(%d+) ([%d.]+) (%d+) (%d+)$')
if tat0 then
	begun = tonumber(begun0)
	tat = math.max(tonumber(tat0), now)
	if every0 ~= ARGV[1] or burst0 ~= ARGV[2] then
		local left = math.min(burst, burst0 - (tat - now) / every0)
		tat, changed = now + (burst - left) * every, true
	end
	if born ~= 0 and born ~= begun and tat < floor then
		tat, changed = floor, true
	end
else
	changed = true
end
tat = math.max(math.floor(tat - ARGV[5] * every + 0.5), now)
local reply = {now, begun, tat}
for i = 6, #ARGV, 2 do
	local n = math.floor((now + ARGV[i + 1] - tat) / every + burst)
	n = math.max(0, math.min(n, tonumber(ARGV[i])))
	tat, changed = tat + n * every, changed or n > 0
	reply[#reply + 1] = n
end
if not changed then
	return reply
end
tat = math.floor(tat + 0.5)
if tat > now then
	redis.call('SET', KEYS[1], string.format('%.0f %s %s %.0f', tat, ARGV[1], ARGV[2], begun), 'PX', math.ceil((tat - now) / 1000))
elseif value then
	redis.call('DEL', KEYS[1])
end
return reply
`

// scriptSHA is how Redis calls the script.
func scriptSHA() string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

// A lot is a number of tokens wanted, none further away than within.
type lot struct {
	n      int
	within time.Duration
}

// arguments are those of the script.
func arguments(r limit.Rule, born int64, debt time.Duration, back int, lots []lot) []any {
	args := make([]any, 0, 5+2*len(lots))
	args = append(args, strconv.FormatFloat(micros(r.Every()), 'f', -1, 64), r.Burst, born, int64(micros(debt)), back)
	for _, l := range lots {
		args = append(args, l.n, int64(micros(l.within)))
	}
	return args
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// A grant is what the script replied.
type grant struct {
	now, born int64
	first     time.Duration // from now until the first token granted may be used; below zero is since when
	tat       time.Duration // from now, after the grants
	granted   []int         // of each lot
}

var errReply = errors.New("the reply of the script is not understood")

// read makes sense of a reply to a wish for so many lots.
func read(v any, r limit.Rule, lots int) (g grant, err error) {
	list, ok := v.([]any)
	if !ok || len(list) != 3+lots {
		return g, errReply
	}
	n := make([]int64, len(list))
	for i := range list {
		if n[i], ok = list[i].(int64); !ok {
			return g, errReply
		}
	}
	g.now, g.born = n[0], n[1]
	g.tat = times(time.Microsecond, float64(n[2]-n[0]))
	g.first = g.tat - times(r.Every(), float64(r.Burst-1))
	for _, k := range n[3:] {
		if k < 0 || k > math.MaxInt32 {
			return g, fmt.Errorf("%w: %d tokens", errReply, k)
		}
		g.granted = append(g.granted, int(k))
		g.tat += times(r.Every(), float64(k))
	}
	return g, nil
}

// times is n times d, as far as it fits.
func times(d time.Duration, n float64) time.Duration {
	const most = float64(1 << 61)
	return time.Duration(max(-most, min(float64(d)*n, most)))
}
