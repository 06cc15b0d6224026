-- +goose Up

-- How an event was verified (JSON), the event it was an item of, and the fingerprint
-- of what does not fit its schema; '' for none.
ALTER TABLE postern_events ADD COLUMN proof text NOT NULL DEFAULT '';
ALTER TABLE postern_events ADD COLUMN parent text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE postern_events ADD COLUMN misfit text COLLATE "C" NOT NULL DEFAULT '';
