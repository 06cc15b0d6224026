-- +goose Up

-- How an event was verified (JSON), the event it was an item of, and the fingerprint
-- of what does not fit its schema; '' for none.
ALTER TABLE events ADD COLUMN proof TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN misfit TEXT NOT NULL DEFAULT '';
