-- +goose Up

-- What lists are asked for by. Each holds the rowid, which is the order of a list.
CREATE INDEX events_webhook ON events (webhook);
CREATE INDEX events_type ON events (type) WHERE type <> '';
CREATE INDEX events_account ON events (account) WHERE account <> '';
CREATE INDEX deliveries_state ON deliveries (state);

-- The moves in the order in which they were made, for whoever follows them.
CREATE INDEX transitions_at ON transitions (at);
