package shared

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/postern-proxy/postern/replica"
)

// beatScript records a replica in a sorted set by when it gave word, in
// microseconds of the clock of Redis, forgets those that are silent for too long,
// and returns the rest. ARGV: microseconds after which one is forgotten; the
// replica's id; what is to be known of it. What is known stands in a hash beside
// the set.
const beatScript = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - ARGV[1]))) do
	redis.call('ZREM', KEYS[1], id)
	redis.call('HDEL', KEYS[2], id)
end
for i = 1, 2 do
	redis.call('PEXPIRE', KEYS[i], math.ceil(ARGV[1] / 1000))
end
local reply = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local out = {}
for i = 1, #reply, 2 do
	out[#out + 1] = reply[i + 1]
	out[#out + 1] = redis.call('HGET', KEYS[2], reply[i]) or ''
end
return out
`

// members are the replicas that share a Redis. Its clock decides.
type members struct {
	client *redis.Client
	keys   []string // in one place of a cluster
}

// Members is where replicas that share this Redis leave word of themselves.
func (r *Redis) Members() replica.Members {
	return &members{r.client, []string{"{" + r.opt.Prefix + ":replicas}", "{" + r.opt.Prefix + ":replicas}:about"}}
}

// Beat implements [replica.Members].
func (m *members) Beat(ctx context.Context, self replica.Replica, within time.Duration) ([]replica.Replica, error) {
	about, err := json.Marshal(self)
	if err != nil {
		return nil, fmt.Errorf("give word to Redis: %w", err)
	}
	list, err := m.client.Eval(ctx, beatScript, m.keys, within.Microseconds(), self.ID, about).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("give word to Redis: %w", err)
	}
	var all []replica.Replica
	for i := 0; i+1 < len(list); i += 2 {
		seen, err := strconv.ParseFloat(list[i], 64)
		var one replica.Replica
		if err != nil || json.Unmarshal([]byte(list[i+1]), &one) != nil || one.ID == "" {
			continue // not of ours
		}
		one.Seen = time.UnixMicro(int64(seen))
		all = append(all, one)
	}
	return all, nil
}

// Leave implements [replica.Members].
func (m *members) Leave(ctx context.Context, id string) error {
	_, err := m.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZRem(ctx, m.keys[0], id)
		p.HDel(ctx, m.keys[1], id)
		return nil
	})
	if err != nil {
		return fmt.Errorf("take leave of Redis: %w", err)
	}
	return nil
}
