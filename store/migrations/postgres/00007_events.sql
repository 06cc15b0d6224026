-- +goose Up

-- Of how many events a row is the request that brought them; 0 for an event.
ALTER TABLE postern_events ADD COLUMN items integer NOT NULL DEFAULT 0;

-- Until when the key of an event is known at least; NULL for no longer than the event.
ALTER TABLE postern_events ADD COLUMN horizon timestamptz;

-- When the event is deleted before that, its key stays until then, and says whose it is.
ALTER TABLE postern_keys ADD COLUMN until timestamptz; -- NULL while the event is there
ALTER TABLE postern_keys ADD COLUMN id text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE postern_keys ADD COLUMN webhook text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE postern_keys ADD COLUMN account text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE postern_keys ADD COLUMN event_id text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX postern_keys_until ON postern_keys (until) WHERE until IS NOT NULL;
CREATE INDEX postern_events_parent ON postern_events (parent) WHERE parent <> '';
