package shared

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/postern-proxy/postern/replica"
)

// beatScript records a replica in a sorted set by when it gave word, in
// microseconds of the clock of Redis, forgets those that are silent for too long,
// and returns the time, when the set came into being, and the rest. ARGV:
// microseconds after which one is forgotten; the replica's id; what is to be known
// of it. What is known stands in a hash beside the set, and when the set came into
// being under an id that none has.
const beatScript = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
redis.call('HSETNX', KEYS[2], '', string.format('%.0f', now))
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
local out = {string.format('%.0f', now), redis.call('HGET', KEYS[2], '')}
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

	mu   sync.Mutex
	born int64             // when the set came into being
	seen []replica.Replica // last
	kept []replica.Replica // seen before the set was wiped
}

// Members is where replicas that share this Redis leave word of themselves.
func (r *Redis) Members() replica.Members {
	set := "{" + r.opt.Prefix + ":replicas}"
	return &members{client: r.beats, keys: []string{set, set + ":about"}}
}

// Beat implements [replica.Members]. Where Redis has forgotten everybody, those
// whom this process knew count until each of them has had the time to give word.
func (m *members) Beat(ctx context.Context, self replica.Replica, within time.Duration) ([]replica.Replica, error) {
	about, err := json.Marshal(self)
	if err != nil {
		return nil, fmt.Errorf("give word to Redis: %w", err)
	}
	list, err := m.client.Eval(ctx, beatScript, m.keys, within.Microseconds(), self.ID, about).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("give word to Redis: %w", err)
	}
	if len(list) < 2 {
		return nil, fmt.Errorf("give word to Redis: %w", errReply)
	}
	var all []replica.Replica
	for i := 2; i+1 < len(list); i += 2 {
		seen, err := strconv.ParseFloat(list[i], 64)
		var one replica.Replica
		if err != nil || json.Unmarshal([]byte(list[i+1]), &one) != nil || one.ID == "" {
			continue // not of ours
		}
		one.Seen = time.UnixMicro(int64(seen))
		all = append(all, one)
	}
	now, errNow := strconv.ParseInt(list[0], 10, 64)
	born, errBorn := strconv.ParseInt(list[1], 10, 64)
	if errNow != nil || errBorn != nil {
		return nil, fmt.Errorf("give word to Redis: %w", errReply)
	}
	return m.keep(all, born, time.Duration(now-born)*time.Microsecond < within), nil
}

// keep adds those who were known before the set was wiped, while it is young.
func (m *members) keep(all []replica.Replica, born int64, young bool) []replica.Replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.born != 0 && m.born != born {
		m.kept = m.seen
	}
	if !young {
		m.kept = nil
	}
	m.born = born
	for _, one := range m.kept {
		if !slices.ContainsFunc(all, func(r replica.Replica) bool { return r.ID == one.ID }) {
			all = append(all, one)
		}
	}
	m.seen = all
	return all
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
