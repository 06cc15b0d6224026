-- +goose Up

-- When the body of an event was removed; NULL while it is there.
ALTER TABLE postern_events ADD COLUMN emptied timestamptz;

-- The events whose bodies can be removed, the oldest first, and how much they take.
CREATE INDEX postern_events_bodies ON postern_events (received) INCLUDE (size) WHERE emptied IS NULL AND size > 0;
