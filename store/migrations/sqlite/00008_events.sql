-- +goose Up

-- Of how many events a row is the request that brought them; 0 for an event.
ALTER TABLE events ADD COLUMN items INTEGER NOT NULL DEFAULT 0;

-- Until when the key of an event is known at least. When the event is deleted before
-- that, its row stays, with nothing but its key, and gone.
ALTER TABLE events ADD COLUMN horizon INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;

CREATE INDEX events_received ON events (received) WHERE gone = 0;
CREATE INDEX events_horizon ON events (horizon) WHERE gone = 1;
CREATE INDEX events_parent ON events (parent) WHERE parent <> '';
