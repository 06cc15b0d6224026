-- +goose Up

-- What lists are asked for by, the newest first.
CREATE INDEX postern_events_webhook ON postern_events (webhook, seq);
CREATE INDEX postern_events_type ON postern_events (type, seq) WHERE type <> '';
CREATE INDEX postern_events_account ON postern_events (account, seq) WHERE account <> '';

-- Deliveries that are neither open nor applied are the fewest, and the ones that are
-- looked for.
CREATE INDEX postern_deliveries_odd ON postern_deliveries (state, id) WHERE state NOT IN ('received', 'retrying', 'processing', 'applied');

-- For whoever follows the moves. They grow with the time, so an index of a few pages
-- will do.
CREATE INDEX postern_trail_at ON postern_trail USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
